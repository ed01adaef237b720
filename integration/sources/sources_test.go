package sources_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
)

const both = accounting.TCPAndUDP

func noHost() (shadowsocks.Host, error) { return shadowsocks.Host{}, nil }

func TestLoadTakesTheUnion(t *testing.T) {
	dir := t.TempDir()
	list := write(t, dir, "ports", "20000/tcp=from the list\n20001=bob\n")
	single := write(t, dir, "single.json", `{"server_port": 20000, "mode": "udp_only", "remarks": "from a file"}`)
	write(t, dir, "many/a.json", `{"servers": [{"port": 20001, "remarks": "robert"}, {"port": 20002, "remarks": "carol"}]}`)
	write(t, dir, "many/client.json", `{"server": "203.0.113.7", "server_port": 9, "local_port": 1080}`)
	write(t, dir, "root/etc/shadowsocks.json", `{"server_port": 20003}`)
	follower := sources.Follow(sources.Sources{
		Ports:       []accounting.Port{{Number: 20000, Protocols: accounting.OnlyTCP, Name: "alice"}},
		List:        list,
		Shadowsocks: []string{single, filepath.Join(dir, "many")},
		SearchRoot:  filepath.Join(dir, "root"),
		Host:        noHost,
	})
	result, err := follower.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := accounting.Ports{
		{Number: 20000, Protocols: both, Name: "alice"},
		{Number: 20001, Protocols: both, Name: "bob"},
		{Number: 20002, Protocols: both, Name: "carol"},
		{Number: 20003, Protocols: both},
	}
	if diff := cmp.Diff(want, result.Ports); diff != "" {
		t.Error(diff)
	}
	if len(result.Configs) != 3 {
		t.Errorf("%d configurations, want 3", len(result.Configs))
	}
	if len(result.Notes) != 2 || !errors.Is(result.Notes[0], shadowsocks.ErrClient) ||
		!strings.Contains(result.Notes[1].Error(), `port 20001 has two names, "bob" and "robert"`) {
		t.Errorf("notes: %v", result.Notes)
	}
}

func TestNamingAPortOfAFileLeavesItsProtocols(t *testing.T) {
	file := write(t, t.TempDir(), "single.json", `{"server_port": 20000, "mode": "tcp_only"}`)
	for spec, want := range map[string]accounting.Port{
		"20000=alice":     {Number: 20000, Protocols: accounting.OnlyTCP, Name: "alice"},
		"20000/udp=alice": {Number: 20000, Protocols: both, Name: "alice"},
		"20000":           {Number: 20000, Protocols: both},

		"20000@172.17.0.2":     {Number: 20000, Protocols: accounting.OnlyTCP},
		"20000/udp@172.17.0.2": {Number: 20000, Protocols: both},
	} {
		named, targets, err := portlist.ParseSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		result, err := sources.Follow(sources.Sources{
			Ports: named, Targets: targets, Shadowsocks: []string{file}, Host: noHost,
		}).Load()
		if err != nil || len(result.Ports) != 1 || result.Ports[0] != want {
			t.Errorf("%s: %v, %v, want %v", spec, result.Ports, err, want)
		}
	}
}

// TestLoadReturnsTheTargets has a port of a configuration, which counts TCP only,
// and targets on the command line and in the list.
func TestLoadReturnsTheTargets(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "single.json", `{"server_port": 20000, "mode": "tcp_only"}`)
	list := write(t, dir, "ports", "20001/udp@172.17.0.2:53=bob\n20001/tcp@[fd00::2]\n20000/tcp@172.17.0.2\n")
	named, targets, err := portlist.ParseSpec("20000@172.17.0.9:1@172.17.0.2")
	if err != nil {
		t.Fatal(err)
	}
	result, err := sources.Follow(sources.Sources{Ports: named, Targets: targets, List: list, Shadowsocks: []string{file}, Host: noHost}).Load()
	if err != nil {
		t.Fatal(err)
	}
	const want = "[tcp 172.17.0.2:20000 tcp 172.17.0.9:1 tcp [fd00::2]:20001 udp 172.17.0.2:53]"
	if got := fmt.Sprint(result.Targets); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !slices.Equal(portlist.Targets(result.Entries), result.Targets) {
		t.Errorf("the entries have the targets %v, want %v", portlist.Targets(result.Entries), result.Targets)
	}
	if want := (accounting.Ports{{Number: 20000, Protocols: accounting.OnlyTCP}, {Number: 20001, Protocols: both, Name: "bob"}}); !slices.Equal(result.Ports, want) {
		t.Errorf("got the ports %v, want %v", result.Ports, want)
	}
}

func TestTwoPortsOfOneTargetAreAFailure(t *testing.T) {
	list := write(t, t.TempDir(), "ports", "20000@172.17.0.2:8388\n")
	named, targets, err := portlist.ParseSpec("20001@172.17.0.2:8388")
	if err != nil {
		t.Fatal(err)
	}
	result, err := sources.Follow(sources.Sources{Ports: named, Targets: targets, List: list}).Load()
	if err == nil || !strings.Contains(err.Error(), "ports 20000 and 20001 have the same target, tcp 172.17.0.2:8388") || result.Ports != nil {
		t.Errorf("got %v, %v", result.Ports, err)
	}
}

func TestLoadNotesTwoExplicitNames(t *testing.T) {
	follower := sources.Follow(sources.Sources{Ports: []accounting.Port{
		{Number: 1, Protocols: both, Name: "a"}, {Number: 1, Protocols: both, Name: "b"},
	}})
	result, err := follower.Load()
	if err != nil || len(result.Notes) != 1 {
		t.Errorf("notes: %v, %v", result.Notes, err)
	}
	if follower.Changed() {
		t.Error("ports of the command line changed")
	}
}

func TestLoadTellsOfEveryFailure(t *testing.T) {
	dir := t.TempDir()
	list := write(t, dir, "ports", "80a\n")
	broken := write(t, dir, "broken.json", "{")
	client := write(t, dir, "client.json", `{"locals": [1]}`)
	follower := sources.Follow(sources.Sources{
		List: list, Shadowsocks: []string{broken, client, dir + "/missing"}, Host: noHost,
	})
	result, err := follower.Load()
	if result.Ports != nil || !errors.Is(err, shadowsocks.ErrClient) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load() = %v, %v", result.Ports, err)
	}
	if _, ok := errors.AsType[*portlist.SpecError](err); !ok {
		t.Errorf("the broken list is not in: %v", err)
	}
	if errors.Is(err, sources.ErrNoList) {
		t.Errorf("the missing configuration was taken for the list: %v", err)
	}
}

func TestLoadTellsThatTheListIsMissing(t *testing.T) {
	named := []accounting.Port{{Number: 20000, Protocols: both}}
	result, err := sources.Follow(sources.Sources{Ports: named, List: filepath.Join(t.TempDir(), "ports")}).Load()
	if !errors.Is(err, sources.ErrNoList) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load() = %v", err)
	}
	if !slices.Equal(result.Ports, named) {
		t.Errorf("the other sources give %v", result.Ports)
	}
}

func TestLoadReportsABrokenFileBesideAMissingList(t *testing.T) {
	dir := t.TempDir()
	broken := write(t, dir, "broken.json", "{")
	_, err := sources.Follow(sources.Sources{List: dir + "/ports", Shadowsocks: []string{broken}, Host: noHost}).Load()
	if err == nil || errors.Is(err, sources.ErrNoList) || !strings.Contains(err.Error(), broken) {
		t.Errorf("got %v, want an error that names %s only", err, broken)
	}
}

func TestLoadFailsWithoutTheHostsAddresses(t *testing.T) {
	unknown := errors.New("unknown")
	follower := sources.Follow(sources.Sources{
		Shadowsocks: []string{t.TempDir()},
		Host:        func() (shadowsocks.Host, error) { return shadowsocks.Host{}, unknown },
	})
	if _, err := follower.Load(); !errors.Is(err, unknown) {
		t.Errorf("Load() = %v", err)
	}
}

// step is one event in the life of a source: what happens, whether that shows
// as a change, and what Load says then.
type step struct {
	what   string
	do     func()
	ports  int
	broken bool
}

func follow(t *testing.T, follower *sources.Follower, steps []step) {
	t.Helper()
	for i, step := range steps {
		step.do()
		if i > 0 && !follower.Changed() {
			t.Fatalf("%s: nothing has changed", step.what)
		}
		result, err := follower.Load()
		if broken := err != nil; broken != step.broken {
			t.Fatalf("%s: %v, want an error: %v", step.what, err, step.broken)
		}
		if len(result.Ports) != step.ports {
			t.Fatalf("%s: %v, want %d ports", step.what, result.Ports, step.ports)
		}
		if follower.Changed() {
			t.Fatalf("%s: changed again after Load", step.what)
		}
	}
}

func TestFollowTheListOfPorts(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "ports")
	follow(t, sources.Follow(sources.Sources{List: list}), []step{
		{"not written yet", func() {}, 0, true},
		{"written", func() { write(t, dir, "ports", "1\n2\n") }, 2, false},
		{"broken", func() { write(t, dir, "ports", "1\n2x\n") }, 0, true},
		{"repaired", func() { write(t, dir, "ports", "1\n2\n3\n") }, 3, false},
		{"replaced", func() {
			if err := portlist.Write(list, []portlist.Entry{{Port: accounting.Port{Number: 4, Protocols: both}}}); err != nil {
				t.Fatal(err)
			}
		}, 1, false},
		{"touched", func() {
			if err := os.Chtimes(list, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, 1, false},
		{"written twice at once", func() {
			write(t, dir, "ports", "1\n")
			write(t, dir, "ports", "2\n3\n")
		}, 2, false},
		{"removed", func() { remove(t, list) }, 0, true},
	})
}

func TestFollowADirectoryOfConfigurations(t *testing.T) {
	dir := t.TempDir()
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{dir}, Host: noHost})
	follow(t, follower, []step{
		{"empty", func() {}, 0, false},
		{"a file added", func() { write(t, dir, "a.json", `{"server_port": 1}`) }, 1, false},
		{"another added", func() { write(t, dir, ".shadowsocks_2.conf", `{"server_port": 2}`) }, 2, false},
		{"one written in place", func() { write(t, dir, "a.json", `{"server_port": [1, 3, 4]}`) }, 4, false},
		{"one broken in place", func() { write(t, dir, "a.json", `{`) }, 0, true},
		{"one repaired in place", func() { write(t, dir, "a.json", `{"server_port": 1}`) }, 2, false},
		{"one removed", func() { remove(t, filepath.Join(dir, "a.json")) }, 1, false},
	})
}

// Files are read at the moment of a change, and changed again before the
// kernel's clock for files goes on: their attributes stay the same.
func TestFollowSeesTheSecondOfTwoChangesAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "ports", "1\n")
	follower := sources.Follow(sources.Sources{List: filepath.Join(dir, "ports")})
	for i := range 1000 {
		content := []string{"1@172.17.0.2\n", "2@172.17.0.2\n", "2@172.17.0.3\n"}[i%3]
		write(t, dir, "ports", content)
		if i > 0 && !follower.Changed() {
			t.Fatalf("change %d was not seen", i)
		}
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFollowALinkedConfiguration(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(write(t, dir, "a.json", `{"server_port": 1}`), link); err != nil {
		t.Fatal(err)
	}
	follower := sources.Follow(sources.Sources{Shadowsocks: []string{link}, Host: noHost})
	follow(t, follower, []step{
		{"linked", func() {}, 1, false},
		{"linked elsewhere", func() {
			remove(t, link)
			if err := os.Symlink(write(t, dir, "b.json", `{"server_port": [1, 2]}`), link); err != nil {
				t.Fatal(err)
			}
		}, 2, false},
		{"dangling", func() { remove(t, filepath.Join(dir, "b.json")) }, 0, true},
	})
}

func TestHostAddressesHasLoopback(t *testing.T) {
	addresses, err := sources.HostAddresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if address.IsLoopback() {
			return
		}
	}
	t.Skipf("no loopback address here: %v", addresses)
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func searchIn(root string) sources.Sources {
	return sources.Sources{
		Ports:      []accounting.Port{{Number: 1, Protocols: both}},
		SearchRoot: root,
		Earlier:    filepath.Join(root, "ports"),
		Host:       noHost,
	}
}

// setup loads the sources and writes the list, as setup does.
func setup(t *testing.T, from sources.Sources) (ports, notes string) {
	t.Helper()
	result, err := sources.Follow(from).Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := portlist.Write(from.Earlier, result.Entries); err != nil {
		t.Fatal(err)
	}
	for _, port := range result.Ports {
		ports += portlist.FormatSpec(port) + " "
	}
	return strings.TrimSpace(ports), fmt.Sprint(result.Notes)
}

// A file that the search can't read keeps the ports that it had, until it is
// gone or says that it has none.
func TestSearchKeepsThePortsOfAFileThatBroke(t *testing.T) {
	root := t.TempDir()
	const name = "etc/shadowsocks-libev/config.json"
	from := searchIn(root)
	for _, step := range []struct {
		name    string
		do      func()
		ports   string
		noteHas string
	}{
		{"nothing yet", func() {}, "1", "[]"},
		{"broken from the first", func() { write(t, root, name, `{"server_port": 8388`) }, "1", "config.json: line 1"},
		{"repaired", func() { write(t, root, name, `{"server_port": 8388, "mode": "tcp_only", "remarks": "alice"}`) }, "1 8388/tcp=alice", "[]"},
		{"broken", func() { write(t, root, name, `{"server_port": `) }, "1 8388/tcp=alice", "config.json: line 1, column 17: want JSON"},
		{"broken still", func() {}, "1 8388/tcp=alice", "the ports that it had stay counted: 1"},
		{"empty", func() { write(t, root, name, "") }, "1 8388/tcp=alice", "empty"},
		{"another format", func() { write(t, root, name, "server_port: 8388\n") }, "1 8388/tcp=alice", "YAML"},
		{"an address that is not there", func() { write(t, root, name, `{"server": "198.51.100.1", "server_port": 8388}`) }, "1 8388/tcp=alice", "not an address of this host"},
		{"another port", func() { write(t, root, name, `{"server_port": [8389, 8390]}`) }, "1 8389 8390", "[]"},
		{"a client's", func() { write(t, root, name, `{"locals": [{}], "server": "x", "server_port": 8389}`) }, "1", "client"},
		{"a server's again", func() { write(t, root, name, `{"server_port": 8391}`) }, "1 8391", "[]"},
		{"without ports", func() { write(t, root, name, `{"server": "::"}`) }, "1", "no port"},
		{"a server's once more", func() { write(t, root, name, `{"server_port": 8391}`) }, "1 8391", "[]"},
		{"gone", func() { remove(t, filepath.Join(root, name)) }, "1", "[]"},
	} {
		step.do()
		ports, notes := setup(t, from)
		if ports != step.ports || !strings.Contains(notes, step.noteHas) {
			t.Fatalf("%s: got ports %q and notes %s, want %q and %q", step.name, ports, notes, step.ports, step.noteHas)
		}
	}
}

// A place below which nothing can be looked up hides its files: what they had
// stays, until they are known to be gone.
func TestSearchKeepsThePortsOfAHiddenFile(t *testing.T) {
	root := t.TempDir()
	const name = "etc/shadowsocks-libev/config.json"
	directory := filepath.Dir(filepath.Join(root, name))
	from := searchIn(root)
	for _, step := range []struct {
		name    string
		do      func()
		ports   string
		noteHas string
	}{
		{"readable", func() { write(t, root, name, `{"server_port": 8388}`) }, "1 8388", "[]"},
		{"a file in place of the directory", func() {
			if err := os.RemoveAll(directory); err != nil {
				t.Fatal(err)
			}
			write(t, root, filepath.Dir(name), "")
		}, "1 8388", "the ports that it had stay counted: 1"},
		{"gone", func() { remove(t, directory) }, "1", "[]"},
	} {
		step.do()
		ports, notes := setup(t, from)
		if ports != step.ports || !strings.Contains(notes, step.noteHas) {
			t.Fatalf("%s: got ports %q and notes %s, want %q and %q", step.name, ports, notes, step.ports, step.noteHas)
		}
	}
}

// Both files of a port keep it, and each only its own.
func TestSearchKeepsAPortOfTwoFiles(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	write(t, root, "etc/shadowsocks/a.json", `{"server_port": [10, 11]}`)
	write(t, root, "etc/shadowsocks/b.json", `{"server_port": [11, 12]}`)
	setup(t, from)
	write(t, root, "etc/shadowsocks/a.json", `{`)
	write(t, root, "etc/shadowsocks/b.json", `{"server_port": 13}`)
	if ports, _ := setup(t, from); ports != "1 10 11 13" {
		t.Errorf("got %s, want 1 10 11 13", ports)
	}
}

// A file that is named has to be right, also where the search would find it, and
// is read once.
func TestANamedFileInAUsualPlace(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	from.Shadowsocks = []string{write(t, root, "etc/shadowsocks/a.json", `{"server_port": 10}`)}
	result, err := sources.Follow(from).Load()
	if err != nil || len(result.Configs) != 1 {
		t.Errorf("got %v, %v, want one configuration", result.Configs, err)
	}
	write(t, root, "etc/shadowsocks/a.json", `{`)
	if _, err := sources.Follow(from).Load(); err == nil {
		t.Error("a named file is broken, and that is no error")
	}
}

func TestServersAreForced(t *testing.T) {
	client := write(t, t.TempDir(), "a.json", `{"server": "198.51.100.1", "server_port": 10, "local_port": 1080}`)
	if _, err := sources.Follow(sources.Sources{Shadowsocks: []string{client}, Host: noHost}).Load(); !errors.Is(err, shadowsocks.ErrClient) {
		t.Errorf("got %v, want ErrClient", err)
	}
	result, err := sources.Follow(sources.Sources{Servers: []string{client}, Host: noHost}).Load()
	if err != nil || len(result.Ports) != 1 {
		t.Errorf("got %v, %v, want one port", result.Ports, err)
	}
}

func TestEntriesNameEverySource(t *testing.T) {
	dir := t.TempDir()
	a, b := write(t, dir, "a.json", `{"server_port": [10, 11]}`), write(t, dir, "b.json", `{"server_port": [11, 12]}`)
	result, err := sources.Follow(sources.Sources{
		Ports: []accounting.Port{{Number: 12, Protocols: both}}, Shadowsocks: []string{a, b}, Host: noHost,
	}).Load()
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, entry := range result.Entries {
		got = append(got, entry.Sources)
	}
	if diff := cmp.Diff([][]string{{a}, {a, b}, {sources.Flag, b}}, got); diff != "" {
		t.Error(diff)
	}
}

// What comes beside a configuration is followed too.
func TestFollowTheCompanionsOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	config := write(t, dir, "user-config.json", `{"server_port": 8388, "obfs": "plain"}`)
	for name, from := range map[string]sources.Sources{
		"file":      {Shadowsocks: []string{config}, Host: noHost},
		"directory": {Shadowsocks: []string{dir}, Host: noHost},
	} {
		t.Run(name, func(t *testing.T) {
			follow(t, sources.Follow(from), []step{
				{"one user", func() {}, 1, false},
				{"two clients", func() { write(t, dir, "mudb.json", `[{"port": 1, "user": "a"}, {"port": 2, "user": "b"}]`) }, 2, false},
				{"three clients", func() {
					write(t, dir, "mudb.json", `[{"port": 1, "user": "a"}, {"port": 2, "user": "b"}, {"port": 3}]`)
				}, 3, false},
				{"gone", func() { remove(t, filepath.Join(dir, "mudb.json")) }, 1, false},
			})
		})
	}
}

func TestFollowTheUsualPlaces(t *testing.T) {
	root := t.TempDir()
	follow(t, sources.Follow(sources.Sources{SearchRoot: root, Host: noHost}), []step{
		{"nothing there", func() {}, 0, false},
		{"a directory", func() { write(t, root, "etc/shadowsocks-libev/readme", "") }, 0, false},
		{"a file in it", func() { write(t, root, "etc/shadowsocks-libev/config.json", `{"server_port": 1}`) }, 1, false},
		{"in place", func() { write(t, root, "etc/shadowsocks-libev/config.json", `{"port_password": {"1": "", "2": ""}}`) }, 2, false},
		{"a file of a fixed name", func() { write(t, root, "etc/mihomo/config.yaml", "listeners: [{type: shadowsocks, port: 3}]") }, 3, false},
		{"in multi-user mode", func() {
			write(t, root, "usr/local/shadowsocksr/user-config.json", `{"server_port": 4, "obfs": "plain"}`)
		}, 4, false},
		{"with clients", func() {
			write(t, root, "usr/local/shadowsocksr/mudb.json", `[{"port": 5, "user": "a"}, {"port": 6, "user": "b"}]`)
		}, 5, false},
		{"removed", func() { remove(t, filepath.Join(root, "etc/shadowsocks-libev/config.json")) }, 3, false},
	})
}

// The content of such a file is not read, so a change that may be followed by
// another one at once is reported twice.
func TestFollowWatchedPaths(t *testing.T) {
	dir := t.TempDir()
	settings := filepath.Join(dir, "config.yaml")
	follower := sources.Follow(sources.Sources{Watched: []string{settings}})
	load := func() {
		t.Helper()
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
	}
	load()
	if follower.Changed() {
		t.Error("a missing file has changed")
	}
	write(t, dir, "config.yaml", "port: [1]")
	load()
	write(t, dir, "config.yaml", "port: [2]")
	if !follower.Changed() {
		t.Error("a change at once after Load is not noticed")
	}
	// Kernels with times of high resolution show it in the attributes as well.
	testkit.Eventually(t, 10*time.Second, func() error {
		write(t, dir, "config.yaml", "port: [3]")
		load()
		if !follower.Changed() {
			return errors.New("a change that may hide another one is not reported again")
		}
		return nil
	})
	load()
	testkit.Eventually(t, time.Second, func() error {
		if follower.Changed() {
			return errors.New("still changed")
		}
		return nil
	})
}
