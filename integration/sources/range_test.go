package sources_test

import (
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
)

// TestOneNotePerRange names every port, as a mistaken range does, otherwise than another
// source, and one of them by a third name.
func TestOneNotePerRange(t *testing.T) {
	every := func(name string) (ports []accounting.Port) {
		for number := 1; number <= 65535; number++ {
			ports = append(ports, accounting.Port{Number: uint16(number), Protocols: accounting.TCPAndUDP, Name: name})
		}
		return ports
	}
	mistaken := every("eve")
	mistaken[20000-1].Name = "mallory"
	dir := t.TempDir()
	file := write(t, dir, "clients.yaml", "alice: {ports: 1-65535}\n")
	for _, test := range []struct {
		name string
		from sources.Sources
		want []string // the beginnings of the notes
	}{
		{"the file of clients", sources.Sources{Clients: file, Ports: mistaken}, []string{
			`ports 1-19999 are "alice" in ` + file + `, which counts, and "eve" in --port: `,
			`port 20000 is "alice" in ` + file + `, which counts, and "mallory" in --port: `,
			`ports 20001-65535 are "alice" in ` + file + `, which counts, and "eve" in --port: `,
		}},
		{"twice", sources.Sources{Clients: filepath.Join(dir, "none"), Ports: append(every("alice"), mistaken...)}, []string{
			`ports 1-19999 have two names, "alice" and "eve": the first is used; choose with --port 1-19999=NAME`,
			`port 20000 has two names, "alice" and "mallory": the first is used; choose with --port 20000=NAME`,
			`ports 20001-65535 have two names, "alice" and "eve": the first is used; choose with --port 20001-65535=NAME`,
		}},
	} {
		test.from.Host = noHost
		result, err := sources.Follow(test.from).Load()
		if err != nil || len(result.Notes) != len(test.want) {
			t.Errorf("%s: got %.1000v, %v, want %d notes", test.name, result.Notes, err, len(test.want))
			continue
		}
		for i, want := range test.want {
			if got := result.Notes[i].Error(); !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %q, want %q", test.name, got, want)
			}
		}
	}
}
