package clients_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/internal/testkit"
)

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), clients.DefaultName)
	testkit.WriteFile(t, path, text)
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRead(t *testing.T) {
	path := write(t, "\ufeff# Ours.\r\nalice:\r\n  ports: [20000, 20001/tcp]\r\n\"bob, jr.\": {ports: \"20002@172.17.0.2:8388\"}\r\n007:\r\ncarol: {}\r\nnull:\r\n  ports:\r\n  - 20003-20004 # x\r\n  - 20005\r\n\"\": {ports: 2000x}\r\n")
	_, err := clients.Read(path)
	if located, ok := errors.AsType[*clients.Error](err); !ok || located.Line != 11 || located.Column != 13 {
		t.Errorf("got %v, want line 11, column 13", err)
	}
	testkit.WriteFile(t, path, strings.Replace(read(t, path), "2000x", "20006", 1))
	file, err := clients.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, client := range file.Clients {
		names = append(names, client.Name)
	}
	if got := strings.Join(names, "|"); got != "alice|bob, jr.|007|carol|null|" || file.Clients[5].Line != 11 {
		t.Errorf("got %s", got)
	}
	ports, conflicts := accounting.Union(file.Ports())
	if len(ports) != 7 || len(conflicts) != 0 || len(file.Targets()) != 2 {
		t.Errorf("got %v and %v", ports, file.Targets())
	}
	if laptop, _ := ports.Find(20001); laptop != (accounting.Port{Number: 20001, Protocols: accounting.OnlyTCP, Name: "alice"}) {
		t.Errorf("got %+v", laptop)
	}
	if _, err := clients.Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: got %v", err)
	}
	if file, err := clients.Read(write(t, "# nobody yet\n")); err != nil || file.Clients != nil {
		t.Errorf("without a client: got %v, %v", file, err)
	}
}

func TestMistakes(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"- alice", "line 1, column 1: want names of clients with their ports, as in alice: {ports: [20000]}, found a list"},
		{"alice: 20000", "line 1, column 8: want keys with values, as in {ports: [20000]}, found a number"},
		{"alice:\n  port: 20000", `line 2, column 3: unknown key "port" (did you mean ports?)`},
		{"alice:\n  [x]: 20000", "line 2, column 6: want YAML"},
		{"alice: {ports: [20000, hunter2]}", "line 1, column 24: want a port number from 1 to 65535"},
		{"alice: {ports: [20000=bob]}", `line 1, column 17: want a port as in 20000, 20000-20009, 20000/tcp or "20000@172.17.0.2:8388": the name is that of the block`},
		{"alice: {ports: [[20000]]}", "line 1, column 17: want a port as in 20000, 20000-20009, 20000/tcp or \"20000@172.17.0.2:8388\", found a list"},
		{"alice: {ports: [20000@172.17.0.2:8388]}", "line 1, column 17: want a port as in"},
		{"alice: {ports: [20000, 20000/udp]}", "line 1, column 24: want each port once: the block of line 1 has it already"},
		{"alice: {ports: 20000/tcp}\nbob: {ports: [1-65535]}", "line 2, column 15: want each port once: the block of line 1 has it already"},
		{"alice: {ports: 20000/tcp}\nbob: {ports: 20000/udp}", "line 2, column 14: want each port once"},
		{"alice:\n\"alice\":", `line 2, column 1: the key "alice" stands in line 1 already`},
		{"007:\n\"007\":", "line 2, column 1: the key (not shown) stands in line 1 already"},
		{"null:\n\"null\":", "line 2, column 1: "},
		{"\"alice \":", "line 1, column 1: want a name without white space around it"},
		{"\"al\\tice\":", "line 1, column 1: want a name without control or invisible characters"},
		{"&x alice:", "line 1, column 1: want the name of a client"},
		{"[alice]: {}", "line 1, column 8: want YAML"},
		{"alice: &x {ports: 1}\nbob: *x", "line 1, column 8: want keys with values, as in {ports: [20000]}, found an anchor"},
		{"alice:\n\tports: 1", "line 2, column 1: want YAML"},
		{"alice:\n---\nbob:\n", "line 2, column 1: want one document"},
		{strings.Repeat("#", 1<<19), "too large"},
	} {
		_, err := clients.Read(write(t, test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.50q:\ngot  %v\nwant %s", test.text, err, test.want)
		}
	}
}

const ours = `# Our clients.

alice:   # since May
  ports: [20000, "20001/tcp"]  # phone, laptop

# The neighbours.
'bob':
  ports:
    - 20002 # old
    - 20003-20009
  # Ends in June.

carol:
"dave, jr.": {ports: 20020}
erin: {ports: [20021,  # a desk
   20022, 20023]}
"":
  ports: 20030
# The end.
`

func TestEditKeepsTheRest(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   clients.Change
		old, new string // of the text
	}{
		{"a new client", clients.Add("fay", "20040", "20041/udp"), "# The end.\n", "# The end.\nfay:\n  ports: [20040, 20041/udp]\n"},
		{"without ports", clients.Add("fay"), "# The end.\n", "# The end.\nfay:\n"},
		{"a name that is no text", clients.Add("yes", "1@[fd00::2]:3"), "# The end.\n", "# The end.\n\"yes\":\n  ports: [\"1@[fd00::2]:3\"]\n"},
		{"a name with marks", clients.Add(`a: "b" \#`), "# The end.\n", "# The end.\n\"a: \\\"b\\\" \\\\#\":\n"},
		{"a number", clients.Add("007"), "# The end.\n", "# The end.\n\"007\":\n"},
		{"another script", clients.Add("علی رضا"), "# The end.\n", "# The end.\nعلی رضا:\n"},
		{"into a list in brackets", clients.Add("alice", "20010-20012"), `/tcp"]`, `/tcp", 20010-20012]`},
		{"the other protocol", clients.Add("alice", "20001", "20000"), `/tcp"]`, `/tcp", 20001/udp]`},
		{"what is there", clients.Add("alice", "20000"), "", ""},
		{"into lines", clients.Add("bob", "20010", "20011"), "20003-20009\n", "20003-20009\n    - 20010\n    - 20011\n"},
		{"a range that is there in part", clients.Add("bob", "20008-20011"), "20003-20009\n", "20003-20009\n    - 20010-20011\n"},
		{"to a name alone", clients.Add("carol", "20010"), "carol:\n", "carol:\n  ports: [20010]\n"},
		{"to one value", clients.Add("dave, jr.", "20010/tcp"), "{ports: 20020}", "{ports: [20020, 20010/tcp]}"},
		{"into brackets of several lines", clients.Add("erin", "20024"), "20023]", "20023, 20024]"},
		{"the port of no name", clients.Add("alice", "20030"), "/tcp\"]  # phone, laptop\n", "/tcp\", 20030]  # phone, laptop\n"},
		{"the port of no name, to a new client", clients.Add("fay", "20030"), "\"\":\n  ports: 20030\n# The end.\n", "# The end.\nfay:\n  ports: [20030]\n"},
		{"of brackets, the first", clients.Remove("alice", "20000"), `[20000, "20001/tcp"]`, `["20001/tcp"]`},
		{"of brackets, the last", clients.Remove("alice", "20001/tcp"), `[20000, "20001/tcp"]`, `[20000]`},
		{"of several lines", clients.Remove("erin", "20021", "20023"), "[20021,  # a desk\n   20022, 20023]", "[  # a desk\n   20022]"},
		{"one protocol", clients.Remove("alice", "20000/udp"), `[20000, `, `[20000/tcp, `},
		{"of lines", clients.Remove("bob", "20002"), "    - 20002 # old\n", ""},
		{"of a range", clients.Remove("bob", "20005"), "    - 20003-20009\n", "    - 20003-20004\n    - 20006-20009\n"},
		{"a client", clients.Remove("bob"), "'bob':\n  ports:\n    - 20002 # old\n    - 20003-20009\n  # Ends in June.\n", ""},
		{"with its last port", clients.Remove("dave, jr.", "20020"), "\"dave, jr.\": {ports: 20020}\n", ""},
		{"a name alone", clients.Remove("carol"), "carol:\n", ""},
		{"another name", clients.Rename("bob", "Bob Smith"), "'bob'", "Bob Smith"},
		{"the same name", clients.Rename("bob", "bob"), "", ""},
		{"another person's port", clients.Give(20020, accounting.TCPAndUDP, "fay"), "\"dave, jr.\": {ports: 20020}\n", ""},
		{"another person, of two ports", clients.Give(20001, accounting.TCPAndUDP, "carol"), "", ""},
		{"a port that was nobody's", clients.Give(20050, accounting.OnlyTCP, "carol"), "carol:\n", "carol:\n  ports: [20050/tcp]\n"},
		{"assigned: a new one", clients.Assign("fay", "20050"), "# The end.\n", "# The end.\nfay:\n  ports: [20050]\n"},
		{"assigned: what is there", clients.Assign("alice", "20000"), "", ""},
		{"assigned: another name", clients.Assign("fay", "20020"), "\"dave, jr.\":", "fay:"},
		{"assigned: no name", clients.Assign("", "20020-20024"), "  ports: 20030\n", "  ports: [20030, 20024]\n"},
	} {
		path := write(t, ours)
		if err := clients.Edit(path, test.change); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		want := strings.Replace(ours, test.old, test.new, 1)
		switch test.name {
		case "the port of no name":
			want = strings.Replace(want, "\"\":\n  ports: 20030\n", "", 1)
		case "another person's port":
			want += "fay:\n  ports: [20020]\n"
		case "another person, of two ports":
			want = strings.Replace(strings.Replace(ours, `, "20001/tcp"`, "", 1), "carol:\n", "carol:\n  ports: [20001/tcp]\n", 1)
		}
		if got := read(t, path); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, want)
		}
	}
}

func TestEditOfOtherStyles(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   clients.Change
		old, new string
	}{
		{"an empty file", clients.Add("a", "1"), "", "a:\n  ports: [1]\n"},
		{"no end of the last line", clients.Add("b", "2"), "a:\n  ports: 1", "a:\n  ports: 1\nb:\n  ports: [2]"},
		{"lines of Windows, and a mark", clients.Add("a", "2"), "\ufeffa: # x\r\n  ports:\r\n  - 1 # y\r\n", "\ufeffa: # x\r\n  ports:\r\n  - 1 # y\r\n  - 2\r\n"},
		{"indented", clients.Add("b", "2"), "  a:\n    ports: 1\n", "  a:\n    ports: 1\n  b:\n    ports: [2]\n"},
		{"an empty list", clients.Add("a", "1"), "a: {ports: [ ]}\n", "a: {ports: [1 ]}\n"},
		{"an empty value", clients.Add("a", "1"), "a:\n  ports: # none\n", "a:\n  ports: [1] # none\n"},
		{"an empty map", clients.Add("a", "1"), "a: {} # none\n", "a: {ports: [1]} # none\n"},
		{"the rest of one value", clients.Remove("a", "2"), "a:\n  ports: 1-3\n", "a:\n  ports: [1, 3]\n"},
		{"two of one person", clients.Rename("A", "a", "4", "5"), "A: {ports: [2@10.0.0.1]} # gone\na:\n  ports: 1 # kept\nb: {ports: 4}\n",
			"a:\n  ports: [1, \"2@10.0.0.1\", 5] # kept\nb: {ports: 4}\n"},
		{"two of one person, in the other order", clients.Rename("b", "a"), "a: {ports: []}\nb:\n  ports:\n  - 4 # gone\n", "a: {ports: [4]}\n"},
		{"one of them elsewhere", clients.Rename("b", "a", "4"), "a: {ports: 1}\n", "a: {ports: [1, 4]}\n"},
		{"the last client", clients.Remove("a"), "# x\na:\n  ports: 1-3", "# x\n"},
	} {
		path := write(t, test.old)
		if err := clients.Edit(path, test.change); err != nil || read(t, path) != test.new {
			t.Errorf("%s: got %v and\n%s\nwant\n%s", test.name, err, read(t, path), test.new)
		}
	}
}

func TestRefusedEdits(t *testing.T) {
	for _, test := range []struct {
		name, text string
		change     clients.Change
		want       string
		kind       error
	}{
		{"a port of another client", ours, clients.Add("fay", "20005"), `port 20005 is "bob"'s`, nil},
		{"of another client, assigned", ours, clients.Assign("carol", "20020"), `port 20020 is "dave, jr."'s`, nil},
		{"one of several, assigned", ours, clients.Assign("fay", "20000"), `port 20000 is "alice"'s`, nil},
		{"no such client", ours, clients.Remove("alce"), `client "alce": the file has no such client (did you mean alice?)`, clients.ErrNoClient},
		{"no such client to rename", ours, clients.Rename("zoe", "x"), `client "zoe": the file has no such client`, clients.ErrNoClient},
		{"a wrong name", ours, clients.Rename("alice", "a\x1bb"), "want a name without control", nil},
		{"a wrong name of a new client", ours, clients.Add("a\nb", "1"), "want a name without control", nil},
		{"a wrong port", ours, clients.Add("fay", "70000"), `port "70000": want a port number`, nil},
		{"a port of somebody else", ours, clients.Remove("alice", "20002"), `port 20002 is not "alice"'s`, nil},
		{"a protocol that is not counted", ours, clients.Remove("alice", "20001"), `port 20001 is not "alice"'s`, nil},
		{"another target", ours, clients.Add("alice", "20000@172.17.0.2"), `port 20000 is "alice"'s already, without tcp 172.17.0.2:20000`, nil},
		{"a mistake in the file", "alice:\n  prots: 1\n", clients.Add("bob", "2"), `line 2, column 3: unknown key "prots"`, nil},
		{"all in one line", "{alice: {ports: 1}, bob: }", clients.Add("carol", "2"), "edit the file: add carol: {ports: [2]}", clients.ErrByHand},
		{"all in one line, removed", "{alice: {ports: 1}, bob: }", clients.Remove("alice"), "edit the file: remove the block of alice", clients.ErrByHand},
		{"two lines of a value", "alice:\n  ports:\n    -\n      1\n    - 2\n", clients.Remove("alice", "1"), "edit the file: in line 1 write alice: {ports: [2]}", clients.ErrByHand},
		{"an explicit key", "? alice\n: {ports: 1}\n", clients.Remove("alice"), "remove the block of alice", clients.ErrByHand},
		{"lines of two systems", "alice:\r\n  ports: 1\n", clients.Add("bob", "2"), "add bob: {ports: [2]}", clients.ErrByHand},
		{"after the end", "alice:\n  ports: 1\n...\n", clients.Add("bob", "2"), "add bob: {ports: [2]}", clients.ErrByHand},
	} {
		path := write(t, test.text)
		err := clients.Edit(path, test.change)
		if err == nil || !strings.Contains(err.Error(), test.want) || test.kind != nil && !errors.Is(err, test.kind) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
		if got := read(t, path); got != test.text {
			t.Errorf("%s: the file has become\n%s", test.name, got)
		}
	}
	if taken, ok := errors.AsType[*clients.TakenError](clients.Edit(write(t, ours), clients.Add("fay", "20005"))); !ok || *taken != (clients.TakenError{Port: 20005, Client: "bob", Wanted: "fay"}) {
		t.Errorf("got %+v", taken)
	}
}

func TestANewFileExplainsItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", clients.DefaultName)
	if err := clients.Edit(path, clients.Remove("alice")); !errors.Is(err, clients.ErrNoClient) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
	if err := clients.Edit(path, clients.Add("alice", "20000")); err != nil {
		t.Fatal(err)
	}
	text := read(t, path)
	if !strings.HasPrefix(text, "# The clients of this host") || !strings.HasSuffix(text, "\nalice:\n  ports: [20000]\n") {
		t.Errorf("got\n%s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestModeOwnerAndLinkStay(t *testing.T) {
	testkit.RequireRoot(t, "to give a file away")
	path := write(t, ours)
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := errors.Join(os.Chmod(path, 0o640), os.Chown(path, 1, 2), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	if err := clients.Edit(link, clients.Rename("alice", "alicia")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	status := info.Sys().(*syscall.Stat_t)
	if info.Mode() != 0o640 || status.Uid != 1 || status.Gid != 2 || !strings.Contains(read(t, path), "alicia:") {
		t.Errorf("got %v of %d:%d", info.Mode(), status.Uid, status.Gid)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link has become %v, %v", info, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := clients.Edit(link, clients.Add("alice")); err == nil {
		t.Error("a link to nothing was replaced")
	}
}

func TestEditsTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), clients.DefaultName)
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() {
			if err := clients.Edit(path, clients.Add(string(rune('a'+i)))); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if file, err := clients.Read(path); err != nil || len(file.Clients) != 20 {
		t.Errorf("got %+v, %v", file, err)
	}
}
