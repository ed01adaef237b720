package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/integration/portlist"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit"
)

// setupIn runs setup --dry-run on the files of a directory.
func setupIn(t *testing.T, directory string, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	return call(t, append([]string{"setup", "--dry-run", "--no-search", "--clients", "", "--list", filepath.Join(directory, "ports")}, arguments...)...)
}

// Names take other numbers of a terminal's cells than of letters, and other ones in ASCII.
func TestTableIsAligned(t *testing.T) {
	var flags []string
	for i, name := range []string{"\u674e\u5c0f\u9f99", "bob", "e\u0301ve", "\U0001f1e9\U0001f1ea Frankfurt", "\u0639\u0644\u064a"} {
		flags = append(flags, "--port", fmt.Sprintf("%d=%s", 20000+i, name))
	}
	for _, locale := range []string{"C.UTF-8", "C"} {
		t.Setenv("LC_ALL", locale)
		status, stdout, stderr := setupIn(t, t.TempDir(), flags...)
		table, _, _ := strings.Cut(stdout, "\n# \n")
		begins := make(map[int]bool)
		for line := range strings.Lines(table) {
			before, _, found := strings.Cut(line, "--port")
			if !found {
				before, _, _ = strings.Cut(line, "SOURCE")
			}
			begins[terminal.Width(before)] = true
		}
		if status != exitDone || len(begins) != 1 || strings.Count(table, "--port") != 5 {
			t.Errorf("%s: status %d, the column of sources begins at %v\n%s%s", locale, status, begins, stdout, stderr)
		}
	}
}

// Nothing that setup prints about any file of the zoo contains a secret.
func TestSetupShowsNoSecretOfTheZoo(t *testing.T) {
	const marker, zoo = "QZQZQ", "../../integration/shadowsocks/testdata/zoo"
	directory, count := t.TempDir(), 0
	if err := os.CopyFS(directory, os.DirFS(zoo)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "expect.golden" {
			return err
		}
		count++
		for _, flags := range [][]string{{"--shadowsocks", path}, {"--server-config", path, "--any-protocol", "--json"}} {
			_, stdout, stderr := setupIn(t, t.TempDir(), flags...)
			if strings.Contains(stdout+stderr, marker) {
				t.Errorf("%s: a secret is shown:\n%s\n%s", path, stderr, stdout)
			}
		}
		return nil
	})
	if err != nil || count == 0 {
		t.Fatalf("%d files, %v", count, err)
	}
}

// TestSetupMarksPublishedPorts has two ports, of which a container engine publishes
// one, later both, and then none.
func TestSetupMarksPublishedPorts(t *testing.T) {
	p := newPlace(t)
	const engine = `table ip nat {
		chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
		chain DOCKER { %s }
	}`
	for _, step := range []struct{ name, rule, published string }{
		{"one port, by TCP", `iifname != "docker0" tcp dport 20001 dnat to 172.17.0.2:8388;`, "20001"},
		{"both", `udp dport 20000-20001 dnat to 172.17.0.2;`, "20000 20001"},
		{"by a map", `dnat to udp dport map { 20000 : 172.17.0.2, 443 : 172.17.0.3 };`, "20000"},
		{"redirected to this host", `tcp dport 20000 redirect to :8388;`, ""},
		{"none", ``, ""},
	} {
		// Not in a subtest, which would run on a thread of the host's namespace.
		testkit.NFT(t, "flush ruleset ip; "+fmt.Sprintf(engine, step.rule))
		if notes := p.setup(); strings.Contains(notes, "published by chain ip nat DOCKER") != (step.published != "") {
			t.Errorf("setup of %s notes\n%s", step.name, notes)
		}
		entries, err := portlist.Read(p.list)
		if err != nil {
			t.Fatal(err)
		}
		var published []string
		for _, entry := range entries {
			if entry.Published {
				published = append(published, fmt.Sprint(entry.Number))
			}
		}
		if got := strings.Join(published, " "); got != step.published {
			t.Errorf("setup marked %q, want %q", got, step.published)
		}
		_, output, _ := call(t, p.checkArguments(p.socket)...)
		counted := strings.Contains(output, "and counted where the host forwards it")
		if want := step.published != ""; counted != want || strings.Contains(output, "past hook host") {
			t.Errorf("check said, want counted %t:\n%s", want, output)
		}
	}
}
