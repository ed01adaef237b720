package portlist_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/internal/configfile"
	"ssmonitor/internal/testkit"
)

// without returns the ports as entries without sources.
func without(ports ...accounting.Port) []portlist.Entry {
	var entries []portlist.Entry
	for _, port := range ports {
		entries = append(entries, portlist.Entry{Port: port})
	}
	return entries
}

func port(number uint16, protocols accounting.Protocols, name string) accounting.Port {
	return accounting.Port{Number: number, Protocols: protocols, Name: name}
}

func TestParseSpec(t *testing.T) {
	const both = accounting.TCPAndUDP
	for spec, want := range map[string][]accounting.Port{
		"20000":                      {port(20000, both, "")},
		"1":                          {port(1, both, "")},
		"65535":                      {port(65535, both, "")},
		"65534-65535":                {port(65534, both, ""), port(65535, both, "")},
		"20000-20000":                {port(20000, both, "")},
		"20000/tcp":                  {port(20000, accounting.OnlyTCP, "")},
		"20000/udp=bob":              {port(20000, accounting.OnlyUDP, "bob")},
		"20000=alice":                {port(20000, both, "alice")},
		"20000 = alice and bob ":     {port(20000, both, "alice and bob")},
		"20000=a=b/tcp":              {port(20000, both, "a=b/tcp")},
		`20000="#1"`:                 {port(20000, both, `"#1"`)},
		"20000=李雷 👩‍🚀":               {port(20000, both, "李雷 👩‍🚀")},
		"20000-20002/tcp=the guests": {port(20000, accounting.OnlyTCP, "the guests"), port(20001, accounting.OnlyTCP, "the guests"), port(20002, accounting.OnlyTCP, "the guests")},
	} {
		got, _, err := portlist.ParseSpec(spec)
		if err != nil {
			t.Errorf("ParseSpec(%q): %v", spec, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseSpec(%q): %s", spec, diff)
		}
	}
}

func TestParseSpecSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ spec, value, text string }{
		{"", "", "a port number from 1 to 65535"},
		{"0", "0", "a port number from 1 to 65535"},
		{"70000", "70000", "a port number"},
		{"80a", "80a", "a port number"},
		{"-1", "", "a port number"},
		{"+20000", "+20000", "a port number"},
		{"2e4", "2e4", "a port number"},
		{"20_000", "20_000", "a port number"},
		{"20000-", "", "a port number"},
		{"20000-70000", "70000", "a port number"},
		{"20001-20000", "20001-20000", "lower port"},
		{"20000-20001-20002", "20001-20002", "a port number"},
		{"20000/sctp", "sctp", "tcp or udp"},
		{"20000/", "", "tcp or udp"},
		{"20000/TCP", "TCP", "tcp or udp"},
		{"20000=", "", "a name"},
		{"20000= ", "", "a name"},
		{"20000=a\x00b", "a\x00b", "without control"},
		{"20000=a\nb", "a\nb", "without control"},
		{"20000=\u202eecila", "\u202eecila", "without control or invisible"},
		{"20000=a\xff", "a\xff", "UTF-8"},
		{"20000=" + strings.Repeat("ä", 129), strings.Repeat("ä", 129), "at most 128 characters"},
		{"20000 # alice", "20000 # alice", "a port number"},
	} {
		_, _, err := portlist.ParseSpec(test.spec)
		wrong, ok := errors.AsType[*portlist.SpecError](err)
		if !ok {
			t.Errorf("ParseSpec(%q) = %v, want a SpecError", test.spec, err)
			continue
		}
		if wrong.Spec != test.spec || wrong.Value != test.value {
			t.Errorf("ParseSpec(%q): the value at fault is %q of %q, want %q", test.spec, wrong.Value, wrong.Spec, test.value)
		}
		if text := err.Error(); !strings.Contains(text, test.text) || strings.ContainsAny(text, "\n\x00") {
			t.Errorf("ParseSpec(%q) = %q, want one line that says %q", test.spec, text, test.text)
		}
	}
}

func TestParseSpecTakesTheLongestName(t *testing.T) {
	name := strings.Repeat("名", accounting.MaxNameLength)
	ports, _, err := portlist.ParseSpec("20000=" + name)
	if err != nil || ports[0].Name != name {
		t.Errorf("a name of %d characters: %v", accounting.MaxNameLength, err)
	}
}

// read reads a list with that text.
func read(t testing.TB, text string) ([]portlist.Entry, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ports")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return portlist.Read(path)
}

// rewrite writes a list of the entries, and returns it and what is read of it.
func rewrite(t testing.TB, entries ...portlist.Entry) (list string, again []portlist.Entry) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ports")
	if err := portlist.Write(path, entries); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err = portlist.Read(path)
	if err != nil {
		t.Fatalf("what was written can't be read: %v", err)
	}
	return string(text), again
}

func TestTheListMatchesTheGoldenFile(t *testing.T) {
	const libev, rust = "/etc/shadowsocks-libev/config.json", "/etc/shadowsocks-rust/config.json"
	got, _ := rewrite(t,
		portlist.Entry{Port: port(20002, accounting.OnlyUDP, "carol"), Sources: []string{libev}},
		portlist.Entry{Port: port(20000, accounting.TCPAndUDP, "alice"), Sources: []string{libev}},
		portlist.Entry{Port: port(20001, accounting.OnlyTCP, ""), Sources: []string{libev, rust}},
		portlist.Entry{Port: port(30000, accounting.TCPAndUDP, "by hand")},
		portlist.Entry{Port: port(443, accounting.TCPAndUDP, `#1 "quoted", a=b`), Sources: []string{"--port"}},
		portlist.Entry{Port: accounting.Port{Number: 20003, Protocols: accounting.TCPAndUDP, Name: "dave", Published: true}, Sources: []string{libev}},
		portlist.Entry{Port: port(8388, accounting.TCPAndUDP, "erin@home"), Sources: []string{"--port"}, Targets: targetsIn(t, "8388@[fd00::2]@172.17.0.2:8389")},
		portlist.Entry{Port: port(8400, accounting.TCPAndUDP, "frank"), Sources: []string{"--port"},
			Targets: slices.Concat(targetsIn(t, "8400/udp@172.17.0.3"), targetsIn(t, "8400/tcp@172.17.0.4"))},
	)
	testkit.Golden(t, "ports.golden", got)
}

func TestWriteThenReadReturnsEveryName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "ssmonitor", "ports")
	var ports []accounting.Port
	for i, name := range []string{
		"", "alice", "# alice", `"alice"`, `'`, `\n`, "=", "a/tcp=b", "-", "20000", "a, b; c", "李雷", "👩‍🚀", "a\u00a0b",
		strings.Repeat("ß", accounting.MaxNameLength),
	} {
		ports = append(ports, port(uint16(20000+i), accounting.Protocols(1+i%3), name))
	}
	if err := portlist.Write(path, without(ports...)); err != nil {
		t.Fatal(err)
	}
	got, err := portlist.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(without(ports...), got); diff != "" {
		t.Error(diff)
	}
}

func TestWriteReplacesTheListAndItsMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o077))
	for range 2 {
		if err := portlist.Write(path, without(port(2, accounting.TCPAndUDP, ""))); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o644 {
			t.Errorf("the list has mode %v, want 0644", info.Mode().Perm())
		}
		if err := os.Chmod(path, 0o600); err != nil { // the content of the second time is the same
			t.Fatal(err)
		}
	}
	testkit.WantFiles(t, filepath.Dir(path), "ports")
}

// TestWriteRemovesWhatAKilledProcessLeft has a list that is right already.
func TestWriteRemovesWhatAKilledProcessLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	for range 2 {
		if err := portlist.Write(path, without(port(2, accounting.TCPAndUDP, ""))); err != nil {
			t.Fatal(err)
		}
		testkit.WantFiles(t, filepath.Dir(path), "ports")
		testkit.WriteFile(t, filepath.Join(filepath.Dir(path), ".ports.new"), "1")
	}
}

func TestWriteRefusesWhatItCouldNotReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	foreign := targetsIn(t, "2@172.17.0.2")
	for _, bad := range []portlist.Entry{
		{Port: port(1, accounting.TCPAndUDP, ""), Targets: foreign},
		{Port: port(2, accounting.OnlyTCP, ""), Targets: foreign},
		{Port: port(2, accounting.OnlyUDP, ""), Targets: []accounting.Target{{Protocol: accounting.UDP, Port: 2}}},
	} {
		if err := portlist.Write(path, []portlist.Entry{bad}); err == nil {
			t.Errorf("Write(%+v) succeeded", bad)
		}
	}
	for _, bad := range []accounting.Port{
		port(0, accounting.TCPAndUDP, ""),
		port(1, 0, ""),
		port(1, accounting.TCPAndUDP, "a\nb"),
		port(1, accounting.TCPAndUDP, " a"),
		port(1, accounting.TCPAndUDP, " "),
		port(1, accounting.TCPAndUDP, strings.Repeat("x", 129)),
	} {
		if err := portlist.Write(path, without(bad)); err == nil {
			t.Errorf("Write(%+v) succeeded", bad)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused list left a file: %v", err)
	}
}

func TestReadTakesListsWrittenByHand(t *testing.T) {
	for text, want := range map[string][]string{
		"\ufeff# mine\r\n\r\n 20001/tcp = bob \r\n\t20000-20001\n20002=carol": {"20001/tcp=bob []", "20000 []", "20001 []", "20002=carol []"},
		"1\n# from /a\n2\n# a comment\n\n3\n# from /a\n#from nowhere\n# from /b c \n4-5\n# from --port\n6\n": {
			`1 []`, `2 ["/a"]`, `3 ["/a"]`, `4 ["/a" "/b c"]`, `5 ["/a" "/b c"]`, `6 ["--port"]`,
		},
		"1\n# published\n2=a\n3\n# from /a\n4\n# published\n# from /b\n5-6/tcp\n# from /c\n7\n#published\n8\n": {
			"1 []", "2=a [] published", "3 [] published", `4 ["/a"]`, `5/tcp ["/b"] published`, `6/tcp ["/b"] published`, `7 ["/c"]`, `8 ["/c"]`,
		},
		"1-3@172.17.0.2@[fd00::2]\n4/tcp\n5/udp@172.17.0.2:1\n": {
			"1@172.17.0.2:1@[fd00::2]:1 []", "2@172.17.0.2:2@[fd00::2]:2 []", "3@172.17.0.2:3@[fd00::2]:3 []", "4/tcp []", "5/udp@172.17.0.2:1 []",
		},
	} {
		entries, err := read(t, text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, entry := range entries {
			line := fmt.Sprintf("%s %q", portlist.FormatSpec(entry.Port, entry.Targets...), entry.Sources)
			if entry.Published {
				line += " published"
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestPublishedPortsOfNoSource checks that a mark does not reach the ports below
// those that it is for.
func TestPublishedPortsOfNoSource(t *testing.T) {
	published := port(1, accounting.TCPAndUDP, "")
	published.Published = true
	want := without(port(2, accounting.TCPAndUDP, ""), published)
	list, got := rewrite(t, want[1], want[0])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", diff, list)
	}
}

func TestSourcesStayOnTheirLine(t *testing.T) {
	for _, source := range []string{"/etc/a.json", "/a b", " /a", "/a\n443=evil", "/\u202ea", "/\xff", "/" + strings.Repeat("a", 200), "/" + strings.Repeat("\u202e", 40), `"/a"`, `"`, "# from", ""} {
		_, entries := rewrite(t, portlist.Entry{Port: port(1, accounting.TCPAndUDP, ""), Sources: []string{source}})
		if len(entries) != 1 || !slices.Equal(entries[0].Sources, []string{source}) {
			t.Errorf("source %q became %+v", source, entries)
		}
	}
}

func TestReadShowsNothingOfAShadowsocksConfiguration(t *testing.T) {
	_, err := read(t, "\n {\"password\": \"secret\"}")
	if !errors.Is(err, portlist.ErrNotAList) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("Read(JSON) = %v", err)
	}
}

// Whoever names another file with --list must not see what is in it.
func TestReadShowsNothingOfALine(t *testing.T) {
	for line, want := range map[string]string{
		"hunter2":                            "line 2, column 1: want a port number",
		"\ufeff hunter2":                     "line 2, column 1: want a port number",
		"\tpassword: hunter2":                "line 2, column 2: want a port number",
		"8388-hunter2":                       "line 2, column 6: want a port number",
		"  8388/hunter2":                     "line 2, column 8: want tcp or udp",
		"8388/tcp@hunter2":                   "line 2, column 10: want the address",
		"8388@172.17.0.2@hunter2":            "line 2, column 17: want the address",
		"8388@172.17.0.2@127.0.0.1%hunter2":  "line 2, column 17: want the address",
		"8388-8389@172.17.0.2@172.17.0.3:12": "line 2, column 22: want an address without a port",
		"ü8388@hunter2":                      "line 2, column 1: want a port number",
		"8388 =  hunter2\x1b":                "line 2, column 9: want a name without control",
		"8388=  hunter2\x1b":                 "line 2, column 8: want a name without control",
		"8388=\u3164":                        "line 2, column 6: want a name that can be seen: U+3164 is blank",
	} {
		_, err := read(t, "20000\n"+line+"\n")
		wrong, ok := errors.AsType[*portlist.LineError](err)
		if !ok || !strings.HasPrefix(wrong.Error(), want) || strings.Contains(wrong.Error(), "hunter2") {
			t.Errorf("%q: got %v, want %s", line, err, want)
		}
	}
}

func TestReadNamesFileAndLine(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "ports")
	for content, text := range map[string]string{
		"20000\n# more\n80a=alice\n":                   "line 3, column 1: want a port number",
		"1-65535\n1-65535\n1":                          "line 3: more than 131070 ports",
		strings.Repeat("1-32767@1.1.1.1@1.1.1.2\n", 3): "line 3: more than 262140 targets",
	} {
		testkit.WriteFile(t, list, content)
		_, err := portlist.Read(list)
		if err == nil || !strings.Contains(err.Error(), list+": "+text) {
			t.Errorf("Read(%q) = %v, want file and %q", content, err, text)
		}
	}
	if _, err := portlist.Read(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing list: %v", err)
	}
	if _, err := portlist.Read(dir); !errors.Is(err, configfile.ErrNotRegular) {
		t.Errorf("a directory as list: %v", err)
	}
	if err := os.Truncate(list, 1<<30); err != nil {
		t.Fatal(err)
	}
	if _, err := portlist.Read(list); !errors.Is(err, configfile.ErrTooLarge) {
		t.Errorf("a list of 1 GB: %v", err)
	}
}
