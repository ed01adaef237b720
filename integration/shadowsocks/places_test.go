package shadowsocks_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/integration/shadowsocks"
)

// fileIn returns a file in a usual place.
func fileIn(place string) string {
	if strings.HasSuffix(place, "/") {
		return place + "first.json"
	}
	return strings.Replace(place, "*", "first", 1)
}

// TestSearchFindsEveryPlace has a file in each of the usual places, and beside it what
// is no configuration.
func TestSearchFindsEveryPlace(t *testing.T) {
	root := t.TempDir()
	var want []string
	for _, place := range shadowsocks.UsualPlaces() {
		want = append(want, filepath.Join(root, fileIn(place)))
		write(t, root, fileIn(place), "")
		for _, other := range []string{".hidden.json", "config.json.bak", "geosite.db", "geoip.dat", "log.txt", "config.json.1700000000", "config.bak.json", "config-old.jsonc"} {
			write(t, root, filepath.Dir(fileIn(place))+"/"+other, "")
		}
	}
	got, unlisted := shadowsocks.Search(root, 1000)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || len(unlisted) > 0 {
		t.Errorf("not listed: %v; found (-want +got):\n%s", unlisted, diff)
	}
	if len(want) != len(slices.Compact(want)) {
		t.Error("a place is there twice")
	}
}

// Servers differ in the formats that they read.
func TestSearchTakesWhatTheServersOfAPlaceRead(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a.json", "b.json5", "c.jsonc", "d.yaml", "e.yml", "f.toml", "g.conf"} {
		for _, directory := range []string{"etc/shadowsocks-rust", "etc/xray/conf", "etc/gost"} {
			write(t, root, filepath.Join(directory, name), "")
		}
	}
	files, _ := shadowsocks.Search(root, 100)
	got := make(map[string]string)
	for _, file := range files {
		directory, _ := filepath.Rel(root, filepath.Dir(file))
		got[directory] += strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	want := map[string]string{"etc/shadowsocks-rust": "abc", "etc/xray/conf": "abcdef", "etc/gost": "abcde"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTogether(t *testing.T) {
	got := shadowsocks.Together([]string{
		"/etc/a.json", "/etc/xray/config.json", "/etc/sing-box/1.json", "/etc/sing-box/2.json", "/etc/xray/conf/1.json", "/etc/v2ray/conf/1.json",
	})
	want := [][]string{
		{"/etc/a.json"}, {"/etc/xray/config.json", "/etc/xray/conf/1.json"}, {"/etc/sing-box/1.json", "/etc/sing-box/2.json"}, {"/etc/v2ray/conf/1.json"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
