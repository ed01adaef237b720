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

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
)

const both = accounting.TCPAndUDP

func noHost() (shadowsocks.LocalHost, error) { return shadowsocks.LocalHost{}, nil }

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
	if _, ok := errors.AsType[*portlist.LineError](err); !ok {
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
		Host:        func() (shadowsocks.LocalHost, error) { return shadowsocks.LocalHost{}, unknown },
	})
	if _, err := follower.Load(); !errors.Is(err, unknown) {
		t.Errorf("Load() = %v", err)
	}
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	testkit.WriteFile(t, path, content)
	return path
}

// specs writes the ports as specifications.
func specs(ports accounting.Ports) (texts []string) {
	for _, port := range ports {
		texts = append(texts, portlist.FormatSpec(port))
	}
	return texts
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
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

// Somebody reads one note for each port, however many files name it.
func TestANoteForEachPortWithSeveralNames(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{
		"a": `{"servers": [{"port": 20000, "mode": "tcp_only", "remarks": "alice"}, {"port": 20001, "remarks": "bob"}]}`,
		"b": `{"servers": [{"port": 20000, "mode": "udp_only", "remarks": "alice-udp"}, {"port": 20001, "remarks": "bob"}]}`,
		"c": `{"servers": [{"port": 20000, "remarks": "carol"}, {"port": 20000, "remarks": "carol"}]}`,
		"d": `{"servers": [{"port": 20002, "mode": "tcp_only", "remarks": "dave"}, {"port": 20002, "mode": "udp_only", "remarks": "dave-udp"}]}`,
		"e": `{"servers": [{"port": 20003, "remarks": "erin"}]}`,
		"f": `{"servers": [{"port": 20003, "remarks": "frank"}]}`,
		"g": `{"servers": [{"port": 20004, "remarks": "grace"}, {"port": 20004, "mode": "udp_only", "remarks": "heidi"}]}`,
	} {
		write(t, dir, file+".json", content)
	}
	result, err := sources.Follow(sources.Sources{Shadowsocks: []string{dir}, Host: noHost}).Load()
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	for _, note := range result.Notes {
		if !strings.Contains(note.Error(), "several users") {
			notes = append(notes, note.Error())
		}
	}
	want := []string{
		`port 20000 has 3 names, among them "alice" and "alice-udp": the first is used; choose with --port 20000=NAME`,
		`port 20003 has two names, "erin" and "frank": the first is used; choose with --port 20003=NAME`,
		`port 20004 has two names, "grace" and "heidi": the first is used; choose with --port 20004=NAME`,
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Error(diff)
	}
}
