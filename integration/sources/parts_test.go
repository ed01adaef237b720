package sources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
)

const (
	logPart = `{"log": {"level": "error"}}`
	ssPart  = `{"inbounds": [{"type": "shadowsocks", "tag": "%s", "listen": "::", "listen_port": %d}]}`
)

func ssPartOf(name string, port int) string { return fmt.Sprintf(ssPart, name, port) }

// A part that can't be read keeps the ports that it had, and hides none of the others.
func TestSearchKeepsThePortsOfABrokenPart(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	const directory = "etc/sing-box/conf/"
	for _, step := range []struct {
		name, file, content, ports, note string
	}{
		{"no part with ports", "00_log.json", logPart, "1", "conf/00_log.json: no port"},
		{"still none", "01_dns.json", `{"dns": {}}`, "1", "conf: in 2 files, no port"},
		{"a part with one", "10_ss.json", ssPartOf("a", 8388), "1 8388=a", "[]"},
		{"another one", "11_ss.json", ssPartOf("b", 8389), "1 8388=a 8389=b", "[]"},
		{"broken", "10_ss.json", `{"inbounds": [`, "1 8388=a 8389=b", "conf/10_ss.json: line 1"},
		{"repaired", "10_ss.json", ssPartOf("a", 8390), "1 8389=b 8390=a", "[]"},
		{"without inbounds", "10_ss.json", `{"inbounds": []}`, "1 8389=b", "[]"},
		{"a chain", "01_outbounds.json", `{"outbounds": [{"type": "shadowsocks", "server": "198.51.100.7", "server_port": 443}]}`, "1 8389=b", "[]"},
		{"another program's", "12_foreign.json", `{"server_port": 8391, "mode": "tcp_only"}`, "1 8389=b 8391/tcp", "[]"},
	} {
		write(t, root, directory+step.file, step.content)
		ports, notes := setup(t, from)
		if ports != step.ports || !strings.Contains(notes, step.note) || step.note != "[]" && strings.Count(notes, root) != 1 {
			t.Fatalf("%s: got ports %q and notes %s, want %q and %q", step.name, ports, notes, step.ports, step.note)
		}
	}
}

// The ports of a part say which file they are from.
func TestPartsAreTheSourcesOfTheirPorts(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/sing-box/config.json", logPart)
	first := write(t, root, "etc/sing-box/conf/a.json", ssPartOf("a", 10))
	second := write(t, root, "etc/sing-box/conf/b.json", ssPartOf("b", 11))
	result, err := sources.Follow(sources.Sources{SearchRoot: root, Host: noHost}).Load()
	if err != nil || len(result.Entries) != 2 || result.Entries[0].Sources[0] != first || result.Entries[1].Sources[0] != second {
		t.Errorf("got %v, %v", result.Entries, err)
	}
}

// A file counts once, under however many names the search and the command line find it.
func TestAFileWithSeveralNamesCountsOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		link func(root string) error
	}{
		{"a linked file", func(root string) error {
			return os.Symlink("a.json", filepath.Join(root, "etc/sing-box/conf/z.json"))
		}},
		{"a hard link", func(root string) error {
			return os.Link(filepath.Join(root, "etc/sing-box/conf/a.json"), filepath.Join(root, "etc/sing-box/config.json"))
		}},
		{"a linked directory", func(root string) error {
			return os.Symlink(filepath.Join(root, "etc/sing-box"), filepath.Join(root, "usr/local/etc/sing-box"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			path := write(t, root, "etc/sing-box/conf/a.json", ssPartOf("a", 10))
			write(t, root, "usr/local/etc/readme", "")
			if err := test.link(root); err != nil {
				t.Fatal(err)
			}
			for _, named := range [][]string{nil, {path}} {
				from := sources.Sources{SearchRoot: root, Host: noHost, Shadowsocks: named}
				result, err := sources.Follow(from).Load()
				if err != nil || len(result.Configs) != 1 || len(result.Notes) > 0 || portlist.FormatSpec(result.Ports[0]) != "10=a" {
					t.Errorf("named %q: got %v, %v, %v, want one configuration", named, result.Configs, result.Notes, err)
				}
			}
		})
	}
}

// A directory that is named is settled as one that is found: one note if nothing in it
// has a port, and none on parts where another one has.
func TestANamedDirectoryOfParts(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		ports string
		notes []string
	}{
		{"parts", map[string]string{"00.json": logPart, "10.json": ssPartOf("a", 10)}, "10=a", nil},
		{"no ports", map[string]string{"00.json": logPart, "10.json": `{"inbounds": []}`, "20.json": `{}`}, "", []string{"in 3 files, no port"}},
		{"only a client's", map[string]string{"00.json": logPart, "10.json": `{"outbounds": [{"type": "shadowsocks"}]}`}, "", []string{"10.json: as sing-box: this configures a Shadowsocks client"}},
		{"TOML", map[string]string{"a.toml": "", "b.json": ssPartOf("a", 10)}, "10=a", []string{"a.toml: TOML is not read"}},
		{"a directory below", map[string]string{"config.json": logPart, "conf/10.json": ssPartOf("a", 10)}, "", []string{"no port", "/conf, name that with --shadowsocks"}},
		{"nothing", nil, "", []string{"in it yet"}},
		{"users that another file names", map[string]string{
			"config.json": `{"servers": [{"protocol": "2022-blake3-aes-128-gcm", "tcpListeners": [{"address": ":10"}], "uPSKStorePath": "users.json"}]}`,
			"users.json":  `{"alice": "QZQZQ", "server_port": "QZQZQ"}`, "others.json": `{"alice": "QZQZQ"}`,
		}, "10/tcp", []string{"share its port", "others.json: no port"}},
		{"a backup", map[string]string{"a.json": ssPartOf("a", 10), "a.bak.json": ssPartOf("a", 11)}, "10=a", nil},
		{"the port of another inbound is missing", map[string]string{"00.json": `{"inbounds": [{"type": "shadowsocks", "tag": "x"}]}`, "10.json": ssPartOf("a", 10)},
			"10=a", []string{"inbounds[0] has no listen_port"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			directory := t.TempDir()
			for name, content := range test.files {
				write(t, directory, name, content)
			}
			expectLoaded(t, sources.Sources{Shadowsocks: []string{directory}}, test.ports, test.notes...)
		})
	}
}
