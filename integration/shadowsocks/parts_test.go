package shadowsocks_test

import (
	"os"
	"path/filepath"
	"testing"

	"ssmonitor/integration/shadowsocks"
)

// A part is read once, and each reading shows that the program is alive.
func TestAPartIsReadOnce(t *testing.T) {
	directory := t.TempDir()
	var paths []string
	for _, name := range []string{"a.json", "b.json", "c.json"} {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(`{"inbounds": [{"type": "shadowsocks", "listen_port": 8388}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	progress := 0
	options := shadowsocks.Options{Progress: func() { progress++ }}
	parts := shadowsocks.NewParts(paths, options)
	if progress != len(paths) {
		t.Errorf("%d signs of progress, want %d", progress, len(paths))
	}
	if err := os.WriteFile(paths[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := shadowsocks.Read(paths[0], parts.Options(paths[0], options))
	if err != nil || len(config.Ports) != 1 {
		t.Errorf("got %v, %v, want the port that was read before", config, err)
	}
}
