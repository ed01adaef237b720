package sources_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
)

// marker is in every secret of the cases, and in nothing else.
const marker = "QZQZQ"

// fieldCase is a layout of files that somebody posted, rebuilt small, and what is
// right.
type fieldCase struct {
	name        string
	what        string   // the program, who wrote the files, and what is special
	source      string   // where it was posted
	shadowsocks []string // the paths that are named; without one, the usual places are searched
	ports       []string // as portlist.FormatSpec writes them
	notes       []string // a part of each note, and of no other
	err         string   // a part of the error
	first       string   // right or wrong: how the first run of a case from a tester was
	files       []fieldFile
}

type fieldFile struct{ path, content string }

// fieldHost is the host that the cases were written for.
func fieldHost() (shadowsocks.LocalHost, error) {
	return shadowsocks.LocalHost{
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")},
		Names:     []string{"server", "server.example.org"},
	}, nil
}

func TestField(t *testing.T) {
	for _, layout := range fieldCases(t) {
		t.Run(layout.name, func(t *testing.T) {
			root := t.TempDir()
			for _, file := range layout.files {
				write(t, root, file.path, file.content)
				makeDatabase(t, filepath.Join(root, file.path))
			}
			from := sources.Sources{Host: fieldHost}
			for _, path := range layout.shadowsocks {
				from.Shadowsocks = append(from.Shadowsocks, filepath.Join(root, path))
			}
			if len(from.Shadowsocks) == 0 {
				from.SearchRoot = root
			}
			result, err := sources.Follow(from).Load()
			layout.compare(t, root, result, err)
		})
	}
}

// compare reports where the result is not what the case says.
func (c fieldCase) compare(t *testing.T, root string, result sources.Result, err error) {
	t.Helper()
	var notes []string
	ports := specs(result.Ports)
	if diff := cmp.Diff(c.ports, ports); diff != "" {
		t.Errorf("ports (-right +got):\n%s", diff)
	}
	for _, note := range result.Notes {
		notes = append(notes, strings.ReplaceAll(note.Error(), root, ""))
	}
	for _, note := range notes {
		if !slices.ContainsFunc(c.notes, func(part string) bool { return strings.Contains(note, part) }) {
			t.Errorf("this note is not expected: %s", note)
		}
	}
	for _, part := range c.notes {
		if !slices.ContainsFunc(notes, func(note string) bool { return strings.Contains(note, part) }) {
			t.Errorf("no note has %q: %q", part, notes)
		}
	}
	if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
		t.Errorf("the error is %v, want %q in it", err, c.err)
	}
	if said := fmt.Sprint(ports, notes, err); strings.Contains(said, marker) {
		t.Errorf("a secret is shown: %s", said)
	}
}

// makeDatabase replaces a file with statements of SQL by the database that they make.
func makeDatabase(t *testing.T, path string) {
	t.Helper()
	database, isSQL := strings.CutSuffix(path, ".sql")
	if !isSQL {
		return
	}
	statements, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, path)
	connection, err := sqlite3.Open(database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	// The tables of a case may lack what its rows refer to.
	if err := connection.Exec("PRAGMA foreign_keys = OFF;" + string(statements)); err != nil {
		t.Fatal(err)
	}
}

// fieldCases reads testdata/field.
func fieldCases(t *testing.T) (cases []fieldCase) {
	t.Helper()
	paths, err := filepath.Glob("testdata/field/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no case: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, parseField(t, strings.TrimSuffix(filepath.Base(path), ".txt"), string(content)))
	}
	return cases
}

func parseField(t *testing.T, name, content string) fieldCase {
	t.Helper()
	c := fieldCase{name: name}
	for line := range strings.Lines(content) {
		path, isHeading := strings.CutSuffix(strings.TrimSpace(strings.TrimPrefix(line, "-- ")), " --")
		if isHeading && strings.HasPrefix(line, "-- ") {
			c.files = append(c.files, fieldFile{path: path})
			continue
		}
		if last := len(c.files) - 1; last >= 0 {
			c.files[last].content += line
			continue
		}
		key, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "":
		case "what":
			c.what = text
		case "source":
			c.source = text
		case "shadowsocks":
			c.shadowsocks = append(c.shadowsocks, text)
		case "port":
			c.ports = append(c.ports, text)
		case "note":
			c.notes = append(c.notes, text)
		case "error":
			c.err = text
		case "first":
			c.first = text
		default:
			t.Fatalf("%s: %q is not a key of a case", name, key)
		}
	}
	if c.what == "" || !strings.HasPrefix(c.source, "https://") || len(c.files) == 0 {
		t.Fatalf("%s: want what:, source: https://... and files", name)
	}
	return c
}

// TestFieldIsListed keeps the page for readers that lists the cases.
func TestFieldIsListed(t *testing.T) {
	page := "# What people run, and what `ssmonitor setup` makes of it\n\n" +
		"Configurations and layouts that people posted, or that scripts write, each rebuilt small as a case of `integration/sources/testdata/field`,\n" +
		"which has the files. go test -update writes this page.\n\n" +
		"Cases with a verdict were collected by people who did not write the readers, and who decided what is right before the first run.\n\n" +
		"| Case | What | Ports | Notes | First run | Source |\n|---|---|---|---|---|---|\n"
	for _, c := range fieldCases(t) {
		ports := strings.Join(c.ports, ", ")
		if len(c.ports) > 8 {
			ports = fmt.Sprintf("%s and %d more", strings.Join(c.ports[:8], ", "), len(c.ports)-8)
		}
		address, place, _ := strings.Cut(c.source, " ")
		said := strings.Join(append(c.notes, c.err), "; ")
		page += fmt.Sprintf("| %s | %s | %s | %s | %s | [%s](%s) |\n", c.name, c.what, ports, strings.Trim(said, "; "), c.first, strings.TrimSpace(place+" "+shortened(address)), address)
	}
	testkit.Golden(t, "../../field.md", page)
}

// shortened returns an address without what all of its kind have.
func shortened(address string) string {
	address = strings.TrimPrefix(address, "https://")
	return strings.TrimPrefix(address, "github.com/")
}
