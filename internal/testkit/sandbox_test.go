package testkit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Sandbox{}.Main(m)) }

func TestSandboxProtectsTheHost(t *testing.T) {
	testkit.RequireRoot(t, "entering the sandbox")
	for _, parent := range []string{"/etc", "/var", "/var/lib"} {
		path := filepath.Join(parent, "ssmonitor-test-of-the-sandbox")
		if err := os.Mkdir(path, 0o755); !errors.Is(err, syscall.EROFS) {
			t.Errorf("making %s: got %v, want EROFS", path, err)
			_ = os.Remove(path)
		}
	}
	// Docker mounts these files one by one, outside of the file system of /etc.
	for _, path := range []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_ = file.Close()
		}
		if err == nil || !errors.Is(err, syscall.EROFS) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening %s for writing: got %v, want EROFS", path, err)
		}
	}
	const path = "/run/ssmonitor-test-of-the-sandbox"
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// The parent process is outside of the sandbox.
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", os.Getppid(), path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s on the host: got %v, want fs.ErrNotExist", path, err)
	}
	for _, path := range []string{"/etc/ssmonitor", "/var/lib/ssmonitor", "/run/ssmonitor"} {
		entries, err := os.ReadDir(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
			t.Errorf("%s holds %v, %v; want the host's files to be hidden", path, entries, err)
		}
	}
}

func TestProductDoesNotImportTestkit(t *testing.T) {
	testkit.Require(t, "go")
	out, err := exec.Command("go", "list", "-deps", "ssmonitor/cmd/...", "ssmonitor/integration/demo").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for _, denied := range []string{"ssmonitor/internal/testkit", "testing"} {
		for line := range strings.Lines(string(out)) {
			if strings.TrimSpace(line) == denied {
				t.Errorf("the product imports %s", denied)
			}
		}
	}
}
