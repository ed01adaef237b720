package unit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

func TestMemoryNote(t *testing.T) {
	root := t.TempDir()
	if err := MemoryNote(root, 65535); err != nil {
		t.Errorf("without a unit: got %v, want no note", err)
	}
	unit := filepath.Join(root, "sys/fs/cgroup/system.slice/ssmonitor.service")
	if err := os.MkdirAll(unit, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		limit string
		ports int
		want  string // in the note; empty: there is none
	}{
		{"max\n", 65535, ""},
		{"335544320\n", 65535, ""},
		{"134217728\n", 30000, ""},
		{"134217728\n", 40000, "40000 ports may need 164 MB, and ssmonitor.service may have 134 MB"},
		{"\n", 65535, ""},
	} {
		testkit.WriteFile(t, filepath.Join(unit, "memory.max"), test.limit)
		err := MemoryNote(root, test.ports)
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d ports with a limit of %q: got %v, want %q", test.ports, test.limit, err, test.want)
		}
	}
}
