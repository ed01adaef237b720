package shadowsocks

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/internal/testkit"
)

// TestPlacesAreListed keeps the page for readers that lists the usual places.
func TestPlacesAreListed(t *testing.T) {
	page := "# Where `ssmonitor setup` looks for configurations\n\n" +
		"To add a place, add a line to `integration/shadowsocks/places.go`. go test -update writes this page.\n\n" +
		"| Place | Files | Who puts them there |\n|---|---|---|\n"
	for _, place := range usualPlaces {
		files := ""
		if len(place.suffixes) > 0 {
			files = "`*" + strings.Join(place.suffixes, "` `*") + "`"
		}
		page += "| `/" + place.path + "` | " + files + " | " + place.source + " |\n"
	}
	testkit.Golden(t, "../../places.md", page)
}

// TestSearchFindsEveryPlace has a file in each of the usual places, and beside it what
// is no configuration.
func TestSearchFindsEveryPlace(t *testing.T) {
	root := t.TempDir()
	var want []string
	for _, place := range usualPlaces {
		path := filepath.Join(root, strings.Replace(place.path, "*", "first", 1))
		if strings.HasSuffix(place.path, "/") {
			path += "/first.json"
		}
		want = append(want, path)
		directory := filepath.Dir(path)
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			filepath.Base(path), ".hidden.json", "config.json.bak", "geosite.db", "geoip.dat", "log.txt", "config.json.1700000000", "config.bak.json", "config-old.jsonc",
		} {
			if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, unlisted := Search(root, 1000)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || len(unlisted) > 0 {
		t.Errorf("not listed: %v; found (-want +got):\n%s", unlisted, diff)
	}
	if len(want) != len(slices.Compact(want)) {
		t.Error("a place is there twice")
	}
}
