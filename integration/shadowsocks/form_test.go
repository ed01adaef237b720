package shadowsocks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ssmonitor/integration/shadowsocks"
)

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
