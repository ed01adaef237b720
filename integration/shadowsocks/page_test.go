package shadowsocks

import (
	"strings"
	"testing"

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
