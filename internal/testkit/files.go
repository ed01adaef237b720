package testkit

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// WriteFile writes a file, with the directories above it, or ends the test.
func WriteFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ReplaceFile replaces a file by a rename, as an editor does, and makes its directory.
func ReplaceFile(t *testing.T, path, content string) {
	t.Helper()
	MakeDirectory(t, filepath.Dir(path))
	WriteFile(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// OpenDirectory returns a directory that every user may enter. Its path is short enough for
// that of a socket, as t.TempDir's may not be.
func OpenDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "ssmonitor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	return directory
}

// ReadFile returns the content of a file, or ends the test.
func ReadFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// WantFiles fails the test unless the directory holds exactly these files.
func WantFiles(t *testing.T, directory string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

// MakeDirectory creates a directory and those above it that are missing, or ends the
// test.
func MakeDirectory(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}
