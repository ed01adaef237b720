package shadowsocks_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/configfile"
	"ssmonitor/integration/shadowsocks"
)

var hostAddresses = []netip.Addr{
	netip.MustParseAddr("192.0.2.10"),
	netip.MustParseAddr("2001:db8::10"),
	netip.MustParseAddr("fe80::1%eth0"),
}

func port(number uint16, protocols accounting.Protocols, name string) accounting.Port {
	return accounting.Port{Number: number, Protocols: protocols, Name: name}
}

func TestReadTakesEveryForm(t *testing.T) {
	const (
		both = accounting.TCPAndUDP
		tcp  = accounting.OnlyTCP
		udp  = accounting.OnlyUDP
	)
	for name, want := range map[string]shadowsocks.Config{
		"blog-single.json":         {Form: shadowsocks.FormSingle, Ports: []accounting.Port{port(31000, both, "")}},
		"blog-ports.json":          {Form: shadowsocks.FormPortPassword, Ports: []accounting.Port{port(31000, both, ""), port(31001, both, ""), port(31002, both, "")}},
		"libev-single.json":        {Form: shadowsocks.FormSingle, Ports: []accounting.Port{port(8388, tcp, "")}},
		"libev-addresses.json":     {Form: shadowsocks.FormSingle, Ports: []accounting.Port{port(8390, both, ""), port(8389, both, ""), port(8388, both, "")}},
		"libev-own-ports.json":     {Form: shadowsocks.FormSingle, Ports: []accounting.Port{port(8390, udp, ""), port(8390, udp, "")}},
		"libev-plugin.json":        {Form: shadowsocks.FormSingle, Ports: []accounting.Port{port(443, both, "")}},
		"libev-managed.conf":       {Form: shadowsocks.FormSingle, Ports: []accounting.Port{port(8394, both, "")}},
		"manager.json":             {Form: shadowsocks.FormPortPassword, Ports: []accounting.Port{port(8391, udp, ""), port(8392, udp, "")}},
		"manager-bom.json":         {Form: shadowsocks.FormPortPassword, Ports: []accounting.Port{port(9, both, "")}},
		"python-list.json":         {Form: shadowsocks.FormList, Ports: []accounting.Port{port(9001, both, ""), port(9003, both, ""), port(9002, both, "")}},
		"python-both.json":         {Form: shadowsocks.FormPortPassword, Ports: []accounting.Port{port(9001, both, "")}},
		"shadowsocksr.json":        {Form: shadowsocks.FormShadowsocksR, Ports: []accounting.Port{port(10001, both, ""), port(10002, both, ""), port(10003, both, "")}},
		"shadowsocksr-single.json": {Form: shadowsocks.FormShadowsocksR, Ports: []accounting.Port{port(10000, both, "")}},
		"rust-single.json5":        {Form: shadowsocks.FormSingle, Ports: []accounting.Port{port(8388, udp, "")}},
		"rust-servers.json5": {Form: shadowsocks.FormServers, Ports: []accounting.Port{
			port(11000, tcp, ""), port(11001, tcp, "alice"), port(11002, both, "bob"), port(11004, both, ""), port(11005, udp, "dave"),
		}},
		"rust-shadowsocks.json": {Form: shadowsocks.FormServers, Ports: []accounting.Port{port(11010, both, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			want.Path = filepath.Join("testdata", "configs", name)
			got, err := shadowsocks.Read(want.Path, hostAddresses)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseTellsClientsFromServers(t *testing.T) {
	for content, client := range map[string]bool{
		`{"server": "203.0.113.7", "server_port": 1, "local_port": 1080}`:                 true,
		`{"server": "vpn.example.org", "server_port": 1, "local_port": "1080"}`:           true,
		`{"server": ["203.0.113.7:2", "203.0.113.8"], "server_port": 1, "local_port": 9}`: true,
		`{"servers": [{"address": "203.0.113.7", "port": 1}], "local_port": 1080}`:        true,
		`{"locals": [{}], "server": "0.0.0.0", "server_port": 1}`:                         true,
		`{"server": "203.0.113.7", "server_port": 1}`:                                     false,
		`{"server_port": 1, "local_port": 1080}`:                                          false,
		`{"server": "", "server_port": 1, "local_port": 1080}`:                            false,
		`{"server": "0.0.0.0", "server_port": 1, "local_port": 1080}`:                     false,
		`{"server": "[::]", "server_port": 1, "local_port": 1080}`:                        false,
		`{"server": "localhost", "server_port": 1, "local_port": 1080}`:                   false,
		`{"server": "127.0.1.1", "server_port": 1, "local_port": 1080}`:                   false,
		`{"server": "192.0.2.10", "server_port": 1, "local_port": 1080}`:                  false,
		`{"server": "::ffff:192.0.2.10", "server_port": 1, "local_port": 1080}`:           false,
		`{"server": "[fe80::1%eth0]:2", "server_port": 1, "local_port": 1080}`:            false,
		`{"server": ["203.0.113.7", "2001:db8::10"], "server_port": 1, "local_port": 9}`:  false,
		`{"servers": [{"server": "::", "server_port": 1}], "local_port": 1080}`:           false,
		`{"server": "203.0.113.7", "server_port": 1, "local_port": null, "locals": []}`:   false,
	} {
		_, err := shadowsocks.Parse([]byte(content), hostAddresses)
		switch {
		case client && !errors.Is(err, shadowsocks.ErrClient):
			t.Errorf("%s: %v, want ErrClient", content, err)
		case !client && err != nil:
			t.Errorf("%s: %v, want a server", content, err)
		}
	}
}

func TestParseSaysThatThereIsNoPort(t *testing.T) {
	for _, content := range []string{
		`{}`,
		`{"inbounds": [{"listen_port": 8388}]}`,
		`{"server": "0.0.0.0", "server_port": null, "port_password": null}`,
		`{"port_password": {}}`,
		`{"servers": [{"server_port": 1, "disabled": true}]}`,
		`{"server_port": []}`,
	} {
		if config, err := shadowsocks.Parse([]byte(content), nil); !errors.Is(err, shadowsocks.ErrNoPorts) {
			t.Errorf("%s: %+v, %v; want ErrNoPorts", content, config, err)
		}
	}
}

func TestParseNamesPlaceAndValue(t *testing.T) {
	for content, text := range map[string]string{
		`{"server_port": 0}`:                                            `server_port is "0": expected a port number from 1 to 65535`,
		`{"server_port": 70000}`:                                        `server_port is "70000": expected a port number`,
		`{"server_port": "80a"}`:                                        `server_port is "80a": expected a port number`,
		`{"server_port": 1.5}`:                                          `server_port is "1.5": expected a port number`,
		`{"server_port": 20000.0}`:                                      `server_port is "20000.0": expected a port number`,
		`{"server_port": 2e4}`:                                          `server_port is "2e4": expected a port number`,
		`{"server_port": "20000 "}`:                                     `server_port is "20000 ": expected a port number`,
		`{"server_port": -1}`:                                           `server_port is "-1": expected a port number`,
		`{"server_port": ""}`:                                           `server_port is empty: expected a port number`,
		`{"server_port": NaN}`:                                          `server_port is no number: expected a port number`,
		`{"server_port": true}`:                                         `server_port is true or false: expected a port number`,
		`{"server_port": {}}`:                                           `server_port is an object: expected a port number`,
		`{"server_port": [1, [2]]}`:                                     `server_port[1] is a list: expected a port number`,
		`{"server_port": [1, null]}`:                                    `server_port[1] is null: expected a value`,
		`{"server": ["::", "0.0.0.0:80a"], "server_port": 1}`:           `server[1] is "80a": expected a port number`,
		`{"server": 5, "server_port": 1}`:                               `server is a number: expected a text`,
		`{"port_password": {"0": "x"}}`:                                 `a key of port_password is "0": expected a port number`,
		`{"port_password": {"70000": "x"}}`:                             `a key of port_password is "70000": expected a port number`,
		`{"port_password": ["1"]}`:                                      `port_password is a list: expected an object`,
		`{"server_port": 1, "mode": 5}`:                                 `mode is a number: expected a text`,
		`{"server_port": 1, "plugin": []}`:                              `plugin is a list: expected a text`,
		`{"servers": [{"server_port": 1}, {}, {}]}`:                     `servers[1].server_port is missing: expected a port number`,
		`{"servers": [{"port": "70000"}]}`:                              `servers[0].server_port is "70000": expected a port number`,
		`{"mode": 1, "servers": [{"port": 1}]}`:                         `mode is a number: expected a text`,
		`{"servers": [{"port": 1, "mode": 1}]}`:                         `servers[0].mode is a number: expected a text`,
		`{"servers": [{"port": 1, "disabled": "no"}]}`:                  `servers[0].disabled is a text: expected true or false`,
		`{"shadowsocks": [{"port": 1}, {"server_port": 0}]}`:            `shadowsocks[1].server_port is "0": expected a port number`,
		"{\n  \"servers\": {\"port\": 1}}":                              `the value at line 2, column 14 is of type object: expected a list`,
		`{"servers": ["x"]}`:                                            `the value at line 1, column 16 is of type string: expected an object`,
		`[{"server_port": 1}]`:                                          `the value at line 1, column 1 is of type array: expected an object`,
		``:                                                              `line 1, column 1: expected JSON`,
		"{\n  \"pässword\": \"x\",\n  \"ä\": bare\n}":                   `line 3, column 8: expected JSON`,
		"{\"server_port\": 1":                                           `line 1, column 17: expected JSON`,
		"{\"server_port\": 1}\n}":                                       `line 2, column 1: expected JSON`,
		"{\"server_port\": 1 /* no end":                                 `expected JSON`,
		"server_port: 8388\n":                                           `line 1, column 1: expected JSON`,
		`{"password": "\x41", "server_port": 1}`:                        `line 1, column 16: expected JSON`,
		"{\"password\": \"two\nlines\", \"server_port\": 1}":            `line 1, column 18: expected JSON`,
		"{ // one\r\n /* two\r\n * lines / */ \"server_port\": \"x\" ]": `line 3, column 34: expected JSON`,
	} {
		_, err := shadowsocks.Parse([]byte(content), nil)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v; want %s", content, err, text)
		}
	}
}

func TestParseTakesOddButValidFiles(t *testing.T) {
	for _, content := range []string{
		"{\"server_port\": 1} // the end",
		"/* a */ {\"server_port\"/* b */:/* c */1/* d */}",
		"{'server_port': '1', 'password': 'it\\'s // \"fine\"'}",
		"{server_port: 1, password: \"\\\"/*\"}",
		`{"server_port": 2, "server_port": 1}`,
		`{"port_password": {"2": "x"}, "port_password": {"1": "x"}}`,
		`{"servers": [{"port": 2}], "servers": [{"port": 1}]}`,
		`{"server_port": "0001"}`,
		"{\"server_port\": 1, // old Mac\r\"mode\": \"unknown\"}",
		`{"server_port": 1, "plugin": "", "mode": "tcp_and_udp"}`,
		strings.Repeat(" ", 1000) + `{"x": ` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `, "server_port": 1}`,
	} {
		config, err := shadowsocks.Parse([]byte(content), nil)
		if err != nil {
			t.Errorf("%.80q: %v", content, err)
		} else if diff := cmp.Diff([]accounting.Port{port(1, accounting.TCPAndUDP, "")}, config.Ports); diff != "" {
			t.Errorf("%.80q: %s", content, diff)
		}
	}
}

// Breaking a file at any byte must not show a password, not even a character
// of it.
func TestErrorsShowNoPassword(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "configs", "*"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content = []byte(strings.ReplaceAll(string(content), "SECRET", marker))
		for i := range content {
			for _, broken := range [][]byte{
				content[:i],
				append(append([]byte{}, content[:i]...), content[i+1:]...),
				append(append(append([]byte{}, content[:i]...), '"'), content[i:]...),
			} {
				if _, err := shadowsocks.Parse(broken, nil); err != nil && shown(err) > 0 {
					t.Fatalf("%s broken at byte %d: %v", path, i, err)
				}
			}
		}
	}
}

func TestErrorsShowNoPasswordInThePlaceOfAPort(t *testing.T) {
	for _, content := range []string{
		`{"server_port": "MARKER"}`,
		`{"server_port": "1MARKER"}`,
		`{"server_port": ["1MARKER"]}`,
		`{"port_password": {"MARKER": "20000"}}`,
		`{"port_password": "MARKER"}`,
		`{"server": "0.0.0.0:MARKER"}`,
		`{"servers": [{"port": "MARKER", "mode": "MARKER"}]}`,
		`{"servers": "MARKER"}`,
		`{"servers": ["MARKER"]}`,
		`"MARKER"`,
		`MARKER`,
		`{"password": MARKER}`,
		`{"password": "MARKER}`,
		`{"password": "MARKER\q"}`,
	} {
		_, err := shadowsocks.Parse([]byte(content), nil)
		if err == nil || strings.Contains(err.Error(), "MARKER") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestReadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "broken.json", "{")
	write(t, dir, "empty.json", "{}")
	write(t, dir, "huge.json", "")
	if err := os.Truncate(filepath.Join(dir, "huge.json"), 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"missing.json": fs.ErrNotExist,
		"empty.json":   shadowsocks.ErrNoPorts,
		"huge.json":    configfile.ErrTooLarge,
		"fifo.json":    configfile.ErrNotRegular,
		".":            configfile.ErrNotRegular,
	} {
		path := filepath.Join(dir, name)
		if _, err := shadowsocks.Read(path, nil); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Read(%s) = %v, want %v", path, err, want)
		}
	}
	if _, err := shadowsocks.Read(os.DevNull, nil); !errors.Is(err, configfile.ErrNotRegular) {
		t.Errorf("a device: %v", err)
	}
	path := filepath.Join(dir, "broken.json")
	_, err := shadowsocks.Read(path, nil)
	if _, ok := errors.AsType[*shadowsocks.SyntaxError](err); !ok || !strings.Contains(err.Error(), path+": line 1") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestReadDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.json", `{"server_port": 2}`)
	write(t, dir, "a.json5", `{server_port: 1}`)
	write(t, dir, "client.json", `{"server": "203.0.113.7", "server_port": 9, "local_port": 1080}`)
	write(t, dir, "other.json", `{"log": true}`)
	write(t, dir, ".shadowsocks_8394.conf", `{"server_port": 8394, "mode": "tcp_only"}`)
	write(t, dir, ".shadowsocks_8394.pid", `4711`)
	write(t, dir, ".hidden.json", `not JSON`)
	write(t, dir, "README", `not JSON`)
	write(t, dir, "below.json/c.json", `{"server_port": 3}`)

	configs, notes, err := shadowsocks.ReadDirectory(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := paths(dir, configs), ".shadowsocks_8394.conf a.json5 b.json"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	if len(notes) != 2 || !errors.Is(notes[0], shadowsocks.ErrClient) || !errors.Is(notes[1], shadowsocks.ErrNoPorts) {
		t.Errorf("notes: %v", notes)
	}

	write(t, dir, "d.json", `{"server_port": "80a"}`)
	_, _, err = shadowsocks.ReadDirectory(dir, nil)
	if _, ok := errors.AsType[*shadowsocks.ValueError](err); !ok || !strings.Contains(err.Error(), "d.json") {
		t.Errorf("a broken file in the directory: %v", err)
	}
}

func TestReadDirectoryWithoutServers(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := shadowsocks.ReadDirectory(dir, nil); !errors.Is(err, shadowsocks.ErrNoPorts) || !strings.Contains(err.Error(), dir) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, _, err := shadowsocks.ReadDirectory(filepath.Join(dir, "missing"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestSearch(t *testing.T) {
	root := t.TempDir()
	for i, name := range []string{
		"etc/shadowsocks.json",
		"etc/shadowsocks/config.json",
		"etc/shadowsocks-libev/config.json",
		"etc/shadowsocks-libev/second.json",
		"etc/shadowsocks-rust/config.json5",
		"usr/local/shadowsocksr/user-config.json",
		"var/snap/shadowsocks-libev/common/etc/shadowsocks-libev/config.json",
		"root/.shadowsocks/.shadowsocks_8394.conf",
	} {
		write(t, root, name, `{"server_port": `+string(rune('1'+i))+`}`)
	}
	write(t, root, "etc/shadowsocks/client.json", `{"server": "203.0.113.7", "server_port": 9, "local_port": 1080}`)
	write(t, root, "etc/shadowsocks-rust/broken.json", `{`)
	write(t, root, "etc/other/config.json", `{"server_port": 9}`)
	write(t, root, "tmp/.shadowsocks/.shadowsocks_9.conf", `{"server_port": 9}`)
	if err := syscall.Mkfifo(filepath.Join(root, "etc/shadowsocks/fifo.json"), 0o600); err != nil {
		t.Fatal(err)
	}

	configs, notes, err := shadowsocks.Search(root, nil)
	var lists [][]accounting.Port
	for _, config := range configs {
		lists = append(lists, config.Ports)
	}
	var numbers []uint16
	ports, _ := accounting.Union(lists...)
	for _, port := range ports {
		numbers = append(numbers, port.Number)
	}
	if diff := cmp.Diff([]uint16{1, 2, 3, 4, 5, 6, 7, 8}, numbers); diff != "" {
		t.Error(diff)
	}
	if len(notes) != 1 || !errors.Is(notes[0], shadowsocks.ErrClient) || !strings.Contains(notes[0].Error(), "client.json") {
		t.Errorf("notes: %v", notes)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "broken.json") || !strings.Contains(text, "fifo.json") {
		t.Errorf("the files that can't be read: %v", err)
	}

	if configs, notes, err := shadowsocks.Search(t.TempDir(), nil); configs != nil || notes != nil || err != nil {
		t.Errorf("an empty root: %v, %v, %v", configs, notes, err)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func paths(dir string, configs []shadowsocks.Config) string {
	var names []string
	for _, config := range configs {
		names = append(names, strings.TrimPrefix(config.Path, dir+"/"))
	}
	return strings.Join(names, " ")
}
