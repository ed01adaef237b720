package landlock_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestRestrict runs a program of its own, since it could not undo anything, and since
// a program with cgo, as the race detector needs it, can't restrict all its threads.
func TestRestrict(t *testing.T) {
	directory := t.TempDir()
	probe := filepath.Join(directory, "probe")
	build := exec.Command("go", "build", "-o", probe, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the probe: %v\n%s", err, output)
	}
	read, write := filepath.Join(directory, "read"), filepath.Join(directory, "write")
	secret, known := filepath.Join(directory, "secret"), filepath.Join(read, "known")
	link := filepath.Join(read, "link")
	for _, err := range []error{os.Mkdir(read, 0o700), os.Mkdir(write, 0o700), os.WriteFile(secret, nil, 0o600),
		os.WriteFile(known, nil, 0o600), os.Symlink(secret, link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	output, err := exec.Command(probe, read, write, secret, known, link, directory, read, write).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if strings.TrimSpace(string(output)) == "unsupported" {
		testkit.Missing(t, "the kernel has no Landlock")
	}
	want := strings.Join([]string{
		"secret: permission denied, permission denied",
		"known: <nil>, <nil>",
		"link: permission denied, permission denied",
		filepath.Base(directory) + ": permission denied, permission denied",
		"read: <nil>, <nil>",
		"write: permission denied, permission denied",
		"<nil> <nil> <nil>",
		"true",
		"<nil>",
	}, "\n") + "\n"
	if string(output) != want {
		t.Errorf("got\n%s\nwant\n%s", output, want)
	}
}
