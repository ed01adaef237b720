package sources

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/testkit"
)

// pathsOf returns the paths of the places without the root.
func pathsOf(root string, places []Place) (paths []string) {
	for _, place := range places {
		if relative, err := filepath.Rel(root, place.Path); err == nil && filepath.IsLocal(relative) {
			paths = append(paths, relative)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func TestPlaces(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string) {
		t.Helper()
		testkit.WriteFile(t, filepath.Join(root, path), "")
	}
	for _, path := range []string{"etc/shadowsocks/a.json", "etc/x-ui/x-ui.db", "srv/panel/config.json", "secret/target.json", "ports/list", "srv/who/clients.yaml", "home/key"} {
		write(path)
	}
	if err := os.Symlink(filepath.Join(root, "secret/target.json"), filepath.Join(root, "etc/shadowsocks/b.json")); err != nil {
		t.Fatal(err)
	}
	s := &Sources{
		SearchRoot: root, Shadowsocks: []string{filepath.Join(root, "srv/panel/config.json"), filepath.Join(root, "missing/x.json")},
		Earlier: filepath.Join(root, "ports/list"), Clients: filepath.Join(root, "srv/who/clients.yaml"),
	}
	before := s.Places()
	want := []string{"etc/shadowsocks", "etc/x-ui", "ports", "secret", "srv/panel", "srv/who"}
	if got := pathsOf(root, before); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	held := func(places []Place) bool {
		return !slices.ContainsFunc(places, func(place Place) bool {
			return !slices.ContainsFunc(before, func(inside Place) bool { return inside.Holds(place) })
		})
	}
	write("etc/shadowsocks/c.json")
	write("srv/panel/config.json")
	if !held(s.Places()) {
		t.Error("a file beside another one is another place")
	}
	write("etc/x-ui/x-ui.db-wal")
	if !held(s.Places()) {
		t.Error("the log of a database is another place")
	}
	write("etc/shadowsocks-rust/d.json")
	if held(s.Places()) {
		t.Error("a new directory is no other place")
	}
	if err := os.RemoveAll(filepath.Join(root, "etc/shadowsocks-rust")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "etc/shadowsocks"), filepath.Join(root, "etc/old")); err != nil {
		t.Fatal(err)
	}
	write("etc/shadowsocks/a.json")
	if held(s.Places()) {
		t.Error("a directory that replaces another one is no other place")
	}
}

// TestWidePlaces has files in directories with much else, and below them.
func TestWidePlaces(t *testing.T) {
	for directory, want := range map[string]bool{
		"/": true, "/etc": true, "/etc/config": true, "/srv": true, "/home/alice": true, "/var/lib": true, "/usr/local": true,
		"/etc/shadowsocks": false, "/srv/panel": false, "/home/alice/panel": false, "/var/lib/marzban": false,
	} {
		if got := isWide(directory); got != want {
			t.Errorf("%s: got %t, want %t", directory, got, want)
		}
	}
}

// TestLinkToAWideDirectory has the name of a database lead to a file in such a directory.
func TestLinkToAWideDirectory(t *testing.T) {
	link := filepath.Join(t.TempDir(), "x-ui.db")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	if place, found := placeOf(link); !found || place.Path != "/etc/passwd" {
		t.Errorf("got %q, want the file alone", place.Path)
	}
}

// TestUnitCanReadDatabasesInUse compares the unit of setup with the usual places.
func TestUnitCanReadDatabasesInUse(t *testing.T) {
	unit, err := os.ReadFile("../systemd/ssmonitor-setup.service")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for line := range strings.Lines(string(unit)) {
		if paths, found := strings.CutPrefix(strings.TrimSpace(line), "ReadWritePaths="); found {
			for path := range strings.FieldsSeq(paths) {
				got = append(got, strings.TrimPrefix(path, "-"))
			}
		}
	}
	for _, place := range shadowsocks.SearchPlaces("/") {
		if shadowsocks.IsDatabase(place) {
			want = append(want, filepath.Dir(place))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("the unit may write to %q, and databases are in %q", got, want)
	}
}

// TestProgress counts the readings: files that may be parts of one configuration are looked
// at before they are read.
func TestProgress(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a.json", "b.json"} {
		testkit.WriteFile(t, filepath.Join(root, "etc/shadowsocks", name), "{}")
	}
	steps := 0
	_, _ = Follow(Sources{SearchRoot: root, Progress: func() { steps++ }}).Load() // no port in them
	if steps != 4 {
		t.Errorf("got %d steps, want one for each look, and for each reading", steps)
	}
}
