package sources_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/sources"
)

// TestNamesHaveOneOrder has a port named by every source.
func TestNamesHaveOneOrder(t *testing.T) {
	dir := t.TempDir()
	of := sources.Sources{
		Clients: write(t, dir, "clients.yaml", "alice: {ports: [20000, 20001/tcp]}\n\"\": {ports: [20002, 20004]}\ncarol:\n"),
		Ports: []accounting.Port{
			{Number: 20000, Protocols: both, Name: "flag"}, {Number: 20002, Protocols: both, Name: "flag"}, {Number: 20003, Protocols: both, Name: "flag"},
		},
		Shadowsocks: []string{write(t, dir, "config.json", `{"servers": [
			{"address": "::", "port": 20000, "name": "config", "mode": "tcp_only"},
			{"address": "::", "port": 20001, "name": "config", "mode": "udp_only"},
			{"address": "::", "port": 20002, "name": "config"}, {"address": "::", "port": 20003, "name": "config"},
			{"address": "::", "port": 20004, "name": "config"}, {"address": "::", "port": 20005, "name": "carol"}]}`)},
		Host: noHost,
	}
	result, err := sources.Follow(of).Load()
	want := []string{"20000/tcp=alice", "20001=alice", "20002=flag", "20003=flag", "20004=config", "20005=carol"}
	if difference := cmp.Diff(want, specs(result.Ports)); difference != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, difference)
	}
	var overruled []string
	for _, note := range result.Notes {
		if note, ok := errors.AsType[*sources.OverruledError](note); ok {
			overruled = append(overruled, fmt.Sprintf("%d-%d %s %s %s", note.First, note.Last, note.Kept, note.Lost, filepath.Base(note.Source)))
		}
	}
	if difference := cmp.Diff([]string{"20000-20000 alice flag --port", "20000-20001 alice config config.json"}, overruled); difference != "" {
		t.Errorf("overruled (-want +got)\n%s", difference)
	}
	if got := result.Entries[0].Sources; len(got) != 3 || got[0] != of.Clients {
		t.Errorf("got the sources %q, want the file of clients first", got)
	}
}

// TestFollowClients is the agent's view: the union of the list that setup wrote and the file
// of clients.
func TestFollowClients(t *testing.T) {
	dir := t.TempDir()
	list, file := filepath.Join(dir, "ports"), filepath.Join(dir, "clients.yaml")
	follower := sources.Follow(sources.Sources{List: list, Clients: file})
	const truncated = "\x00"
	written := "20000=alice\n# from " + file + "\n20001=bob\n# from " + file + "\n# from /etc/a.json\n20002=carol\n"
	for _, test := range []struct {
		what          string
		list, clients string // empty: no such file
		want          string
		err           error
	}{
		{"nothing yet", "", "", "", sources.ErrNoList},
		{"clients without a list", "", "bob: {ports: 20001}\n", "20001=bob", sources.ErrNoList},
		{"both", written, "bob: {ports: 20001}\n", "20000=alice 20001=bob 20002=carol", nil},
		{"a port in the clients alone", written, "bob: {ports: [20001, 20003/udp]}\n", "20000=alice 20001=bob 20002=carol 20003/udp=bob", nil},
		{"a mistake", written, "bob: {ports: [20001, 20003/udp]}\nbob:\n", "20000=alice 20001=bob 20002=carol 20003/udp=bob", sources.ErrClients},
		{"the list has changed meanwhile", "20000=alice\n", "bob: {ports: [20001, 20003/udp]}\nbob:\n", "20000=alice 20001=bob 20003/udp=bob", sources.ErrClients},
		{"truncated", written, truncated, "20000=alice 20001=bob 20002=carol 20003/udp=bob", sources.ErrClients},
		{"another name", written, "robert: {ports: 20001}\n", "20000=alice 20001=robert 20002=carol", nil},
		{"a client that was removed", written, "# nobody\n", "20000=alice 20002=carol", nil},
		{"no file of clients", written, "", "20000=alice 20002=carol", nil},
	} {
		for path, content := range map[string]string{list: test.list, file: test.clients} {
			_ = os.Remove(path) // there may be none
			if content != "" {
				content = strings.TrimPrefix(content, truncated)
				write(t, dir, filepath.Base(path), content)
			}
		}
		if test.what != "nothing yet" && !follower.Changed() {
			t.Errorf("%s: nothing has changed", test.what)
		}
		result, err := follower.Load()
		if got := strings.Join(specs(result.Ports), " "); got != test.want || !errors.Is(err, test.err) || errors.As(err, new(*sources.PartialError)) != (test.err != nil) {
			t.Errorf("%s: got %q, %v, want %q, %v", test.what, got, err, test.want, test.err)
		}
	}
}

// TestStartWithMistakenClients has the list as setup wrote it, with what the clients had.
func TestStartWithMistakenClients(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "clients.yaml", "alice: [\n")
	list := write(t, dir, "ports", "# from "+file+"\n20000=alice\n")
	result, err := sources.Follow(sources.Sources{List: list, Clients: file}).Load()
	if got := specs(result.Ports); len(got) != 1 || !errors.Is(err, sources.ErrClients) || !strings.Contains(err.Error(), "line 1, column") {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestChangesThatAreAboutToBeMade has a file of clients that stays as it is.
func TestChangesThatAreAboutToBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clients.yaml")
	load := func(specification ...string) (sources.Result, error) {
		return sources.Follow(sources.Sources{Clients: file, ClientChanges: clients.AssignAll(specification...)}).Load()
	}
	result, err := load("20000=alice", "20001/tcp = bob", "20002", "20003-20004=alice")
	want := []string{"20000=alice", "20001/tcp=bob", "20002", "20003=alice", "20004=alice"}
	if difference := cmp.Diff(want, specs(result.Ports)); difference != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, difference)
	}
	if _, err := clients.Read(file); err == nil {
		t.Error("the file was written")
	}
	write(t, filepath.Dir(file), "clients.yaml", "alice:\n  ports: [20000, 20001]\n\"\":\n  ports: 20002\n")
	result, err = load("20000@172.17.0.2=alice", "20002@172.17.0.3")
	if len(result.Targets) != 4 || len(result.Ports) != 3 || result.Ports[0].Name != "alice" || err != nil {
		t.Errorf("got %v and the targets %v, %v", result.Ports, result.Targets, err)
	}
	if _, err := load("20000@172.17.0.2"); err == nil || !strings.Contains(err.Error(), "=NAME") {
		t.Errorf("got %v, want that the client is to be named", err)
	}
	if _, err := load("20000=bob"); !errors.As(err, new(*clients.TakenError)) || errors.Is(err, sources.ErrClients) {
		t.Errorf("got %v, want that the port is taken", err)
	}
}
