package sources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
)

// A link is another configuration if other files are beside it.
func TestALinkIsReadWithWhatIsBesideIt(t *testing.T) {
	root := t.TempDir()
	config := write(t, root, "usr/local/shadowsocksr/user-config.json", `{"server_port": 8388, "obfs": "plain"}`)
	write(t, root, "usr/local/shadowsocksr/mudb.json", `[{"port": 9001, "user": "alice", "transfer_enable": 1}]`)
	link(t, config, root, "etc/shadowsocksr/user-config.json")
	expectLoaded(t, sources.Sources{SearchRoot: root}, "8388 9001=alice", "nothing listens on server_port")
}

// Two ports of ss-manager are two, whatever a link says.
func TestALinkedPortOfAManager(t *testing.T) {
	root := t.TempDir()
	config := write(t, root, "a/.shadowsocks_8388.conf", `{"server_port": 8388}`)
	link(t, config, root, "a/.shadowsocks_8389.conf")
	result, err := sources.Follow(sources.Sources{Shadowsocks: []string{filepath.Join(root, "a")}, Host: noHost}).Load()
	if err != nil || len(result.Configs) != 2 {
		t.Errorf("got %v, %v, want both files", result.Configs, err)
	}
}

func TestWhatIsNamedTwice(t *testing.T) {
	root := t.TempDir()
	const client = `{"server": "198.51.100.7", "server_port": 7002, "local_port": 1080}`
	served := write(t, root, "d/a.json", `{"server_port": 7001}`)
	write(t, root, "d/b.json", client)
	write(t, root, "one/a.json", `{"server_port": 7003}`)
	write(t, root, "sing-box/config.json", logPart)
	write(t, root, "sing-box/outbounds.json", `{"outbounds": [{"type": "direct"}]}`)
	write(t, root, "sing-box/conf/z.json", ssPartOf("z", 10))
	write(t, root, "front/config.json", `{"inbounds": [{"type": "shadowtls", "listen": "::", "listen_port": 443, "detour": "ss"}]}`)
	write(t, root, "front/conf/ss.json", `{"inbounds": [{"type": "shadowsocks", "tag": "ss", "listen": "127.0.0.1", "listen_port": 10}]}`)
	write(t, root, "without/config.json", logPart)
	write(t, root, "without/conf/a.json", logPart)
	write(t, root, "above/conf/a.json", logPart)
	link(t, served, root, "links/a.json")
	for _, test := range []struct {
		name           string
		plain, servers string
		ports          string
		notes          []string
	}{
		{name: "as a server's too", plain: "d", servers: "d", ports: "7001 7002"},
		{name: "only as it is", plain: "d", ports: "7001", notes: []string{"name it with --server-config"}},
		{name: "a file and its directory", plain: "one/a.json one", ports: "7003"},
		{name: "a directory and its file", plain: "one one/a.json", ports: "7003"},
		{name: "twice", plain: "one one", ports: "7003"},
		{name: "a link to what was read", plain: "one d/a.json links", ports: "7001 7003"},
		{name: "the directory below as well", plain: "sing-box sing-box/conf", ports: "10=z"},
		{name: "a file below as well", plain: "sing-box sing-box/conf/z.json", ports: "10=z"},
		{name: "below first", plain: "sing-box/conf/z.json sing-box", ports: "10=z"},
		{name: "not the directory below", plain: "sing-box", notes: []string{"no port", "name that with"}},
		{name: "no ports in either", plain: "without without/conf", notes: []string{"without: in 2 files, no port"}},
		{name: "an empty one above", plain: "above above/conf", notes: []string{"above/conf/a.json: no port"}},
		{name: "a front above", plain: "front front/conf", ports: "443/tcp=ss"},
	} {
		t.Run(test.name, func(t *testing.T) {
			from := sources.Sources{Shadowsocks: below(root, test.plain), Servers: below(root, test.servers)}
			expectLoaded(t, from, test.ports, test.notes...)
		})
	}
}

// What was named is a part of what is found.
func TestASearchKnowsWhatWasNamed(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/sing-box/config.json", logPart)
	named := write(t, root, "etc/sing-box/conf/z.json", ssPartOf("z", 10))
	expectLoaded(t, sources.Sources{SearchRoot: root, Shadowsocks: []string{named}}, "10=z")
}

// Naming a file says that it has ports, even where its directory is named as well.
func TestAFileThatIsNamedHasToHavePorts(t *testing.T) {
	root := t.TempDir()
	write(t, root, "d/a.json", ssPartOf("a", 10))
	write(t, root, "d/b.json", logPart)
	_, err := sources.Follow(sources.Sources{Shadowsocks: below(root, "d d/b.json"), Host: noHost}).Load()
	if err == nil || !strings.Contains(err.Error(), "b.json: no port") {
		t.Errorf("got %v, want that b.json has no port", err)
	}
}

// What a server was started with is a server's where it is named as well.
func TestRunningServersNameNamedFiles(t *testing.T) {
	const form = `{"server": "192.0.2.9", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm", "local_port": 1080}`
	for _, named := range []string{"root/etc/shadowsocks", "root/etc/shadowsocks/config.json", "links"} {
		r := newRunning(t)
		path := r.write(t, "root/etc/shadowsocks/config.json", fmt.Sprintf(form, 8001))
		link(t, path, r.directory, "links/config.json")
		r.from.Shadowsocks = []string{filepath.Join(r.directory, named)}
		r.start(t, 0, "ss-server", "-c", path, "-s", "0.0.0.0")
		testkit.Eventually(t, patience, func() error {
			result, err := sources.Follow(r.from).Load()
			if err != nil {
				return err
			}
			if len(result.Configs) != 1 || len(result.Ports) != 1 || (len(result.Notes) > 0) != (named == "links") {
				return fmt.Errorf("named %s: got %v and %v", named, result.Configs, result.Notes)
			}
			return nil
		})
	}
}

func below(root, names string) (paths []string) {
	for name := range strings.FieldsSeq(names) {
		paths = append(paths, filepath.Join(root, name))
	}
	return paths
}

func link(t *testing.T, to, root, name string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

// expectLoaded loads the sources, and expects the ports and one note with each part.
func expectLoaded(t *testing.T, from sources.Sources, want string, notes ...string) {
	t.Helper()
	from.Host = noHost
	result, err := sources.Follow(from).Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(specs(result.Ports), " "); got != want || len(result.Notes) != len(notes) {
		t.Fatalf("got %q and %q, want %q and %q", got, result.Notes, want, notes)
	}
	for i, note := range notes {
		if !strings.Contains(result.Notes[i].Error(), note) {
			t.Errorf("got %v, want %q", result.Notes[i], note)
		}
	}
}
