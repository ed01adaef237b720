package sources

import (
	"os"
	"path/filepath"
	"testing"
)

// TestChangedComparesTheTargets stands for a second change that left the attributes
// of the list as they were, which the timestamps of newer kernels rule out.
func TestChangedComparesTheTargets(t *testing.T) {
	list := filepath.Join(t.TempDir(), "ports")
	follower := Follow(Sources{List: list})
	for range 100 { // a file is recent for a short time only
		if err := os.WriteFile(list, []byte("1@172.17.0.2\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
		follower.targets = nil
		if follower.Changed() {
			return
		}
	}
	t.Error("other targets are no change")
}
