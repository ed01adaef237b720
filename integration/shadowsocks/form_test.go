package shadowsocks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ssmonitor/integration/shadowsocks"
)

// Somebody sees at once if a file was taken for something else.
func TestParseSaysWhatAFileWasTakenFor(t *testing.T) {
	for content, want := range map[string]string{
		`{"server_port": 8388}`:                                                           "shadowsocks-libev, -rust or -python (by server_port)",
		`{"server_port": [8388]}`:                                                         "shadowsocks-python (by a list as server_port)",
		`{"port_password": {"8388": "QZQZQ"}}`:                                            "ss-manager or shadowsocks-python (by port_password)",
		`{"server_port": 8388, "obfs": "plain"}`:                                          "ShadowsocksR (by obfs, or objects in port_password)",
		`[{"port": 8388, "user": "alice"}]`:                                               "ShadowsocksR, multi-user (by its list of clients, or additional_ports_only)",
		`{"servers": [{"server_port": 8388}]}`:                                            "shadowsocks-rust (by servers)",
		`{"accessKeys": [{"port": 8388, "name": "alice"}]}`:                               "Outline (by accessKeys)",
		`keys: [{port: 8388, id: alice}]`:                                                 "outline-ss-server (by keys, or the listeners of its services)",
		`{"inbounds": [{"type": "shadowsocks", "listen_port": 8388}]}`:                    "sing-box (by the type of its inbounds)",
		`{"inbounds": [{"protocol": "shadowsocks", "port": 8388}]}`:                       "Xray or V2Ray (by the protocol of its inbounds)",
		`{"servers": [{"listen": ":8388", "enableTCP": true, "protocol": "none"}]}`:       "shadowsocks-go (by how its servers listen)",
		`services: [{name: ss, addr: ":8388", handler: {type: ss}}]`:                      "gost (by the handlers of its services)",
		`{"ServeNodes": ["ss://m:QZQZQ@:8388"]}`:                                          "gost 2 (by ServeNodes)",
		`listeners: [{name: ss-in, type: shadowsocks, port: 8388, listen: "192.0.2.10"}]`: "mihomo (by listeners or ss-config)",
	} {
		config, err := parse(t, t.TempDir(), content, shadowsocks.Options{Host: testHost})
		if err != nil || config.Form.String() != want {
			t.Errorf("%s: got %q, %v, want %q", content, config.Form, err, want)
		}
	}
	if form := (shadowsocks.Form{}); fmt.Sprint(form) != "" {
		t.Errorf("no form is %q", form)
	}
}

// The file of another program is no mistake in one of a server.
func TestForeignFilesNameNoPort(t *testing.T) {
	_, err := parse(t, t.TempDir(), `{"type": "s", "manager": {"address": "0.0.0.0:4001"}}`, shadowsocks.Options{})
	foreign, ok := errors.AsType[*shadowsocks.ForeignError](err)
	if !ok || foreign.Program != "shadowsocks-manager" || !errors.Is(err, shadowsocks.ErrNoPorts) || !strings.Contains(err.Error(), "not a server's configuration") {
		t.Errorf("got %v", err)
	}
	if !shadowsocks.Harmless(err) {
		t.Error("it might name a port of a server")
	}
	for _, own := range []string{`"server_port": 8388`, `"inbounds": [{"type": "shadowsocks", "listen_port": 8388}]`} {
		if _, err := parse(t, t.TempDir(), `{`+own+`, "auth": true, "certificate": {}, "Nodes": [], "apps": 1}`, shadowsocks.Options{}); err != nil {
			t.Errorf("%s: %v", own, err)
		}
	}
}

// A chain of inbounds that each hand over to the next one costs no time that matters.
func TestLongDetours(t *testing.T) {
	var content strings.Builder
	const inbounds = 20_000
	content.WriteString(`{"inbounds": [`)
	for i := range inbounds {
		fmt.Fprintf(&content, `{"type": "shadowtls", "tag": "%d", "listen_port": %d, "detour": "%d"},`, i, 1+i, (i+1)%inbounds)
	}
	content.WriteString(`{"type": "shadowsocks", "listen_port": 30000}]}`)
	config, err := parse(t, t.TempDir(), content.String(), shadowsocks.Options{})
	if err != nil || len(config.Ports) != 1 {
		t.Errorf("got %d ports, %v, want that of Shadowsocks", len(config.Ports), err)
	}
}

func TestABrokenFileLooksLikeWhatMayReadIt(t *testing.T) {
	for content, want := range map[string]string{
		`{"inbounds":[`:                                    "a configuration of sing-box, Xray or V2Ray",
		`{"inbounds":[{"protocol": "vless"`:                "a configuration of Xray or V2Ray",
		`{"inbounds":[{"listen_port": 8388`:                "a configuration of sing-box",
		`{"server_port": 8388,, "password": "QZQZQ"`:       "a configuration with server_port",
		`{"servers": [{"tcpListeners": [{"address": ":1" `: "a configuration of shadowsocks-go",
	} {
		_, err := parse(t, t.TempDir(), content, shadowsocks.Options{})
		if err == nil || !strings.HasSuffix(err.Error(), "it looks like "+want) {
			t.Errorf("%s: got %v, want it to look like %s", content, err, want)
		}
	}
}
