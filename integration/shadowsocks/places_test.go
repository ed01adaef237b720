package shadowsocks_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/integration/shadowsocks"
)

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
