package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/testkit"
)

func TestFilesBelongToTheDirectorysOwner(t *testing.T) {
	testkit.RequireRoot(t, "another owner")
	syscall.Umask(syscall.Umask(0o077)) // the modes must not depend on it
	directory := t.TempDir()
	if err := os.Chown(directory, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	awaitBackup(s) // whose temporary file may go while the files are looked at
	check := func() {
		t.Helper()
		for name := range snapshot(t, directory) {
			information, err := os.Stat(filepath.Join(directory, name))
			if err != nil {
				t.Fatal(err)
			}
			owner, mode := information.Sys().(*syscall.Stat_t), fs.FileMode(fileMode)
			if name == lockName {
				mode = lockMode
			}
			if owner.Uid != 1234 || owner.Gid != 2345 || information.Mode() != mode {
				t.Errorf("%s: got owner %d:%d and mode %s", name, owner.Uid, owner.Gid, information.Mode())
			}
		}
	}
	check()
	closeStore(t, s)
	check()
	for _, name := range []string{databaseName + "-wal", databaseName + "-shm"} {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			t.Error(err)
		}
	}
	if err := os.Chmod(filepath.Join(directory, lockName), fileMode); err != nil { // as earlier versions made it
		t.Error(err)
	}
	s, _, _ = open(t, directory)
	if err := s.HandOver(20000, "dave", noon); err != nil {
		t.Error(err)
	}
	awaitBackup(s)
	check()
	closeStore(t, s)
	check()
}

func TestLinksAndPipesAreRefused(t *testing.T) {
	for _, name := range []string{databaseName, backupName, lockName} {
		directory := t.TempDir()
		target := filepath.Join(t.TempDir(), "target")
		writeAll(t, target, []byte("mine"))
		if err := os.Symlink(target, filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
		s, _, _, err := Open(directory, at(noon))
		if err == nil {
			_ = s.Save(stateAt(1, 1))
			_ = s.Close()
		}
		if content := string(readAll(t, target)); content != "mine" {
			t.Errorf("%s: the link was followed: %q", name, content)
		}
		fifo := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(fifo, name), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, _, _, err := Open(fifo, at(noon)); err == nil { // Open must not wait for the pipe
			_ = s.Close()
		}
	}
}

// TestFilesThatAreNotRegularAreNamed has a directory or a link in place of each file of
// a database.
func TestFilesThatAreNotRegularAreNamed(t *testing.T) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		for _, put := range []func(path string) error{
			func(path string) error { return os.Mkdir(path, 0o755) },
			func(path string) error { return os.Symlink("elsewhere", path) },
		} {
			s, _, _ := open(t, fast(t))
			save(t, s, stateAt(1, 1))
			directory := killed(t, s)
			path := filepath.Join(directory, databaseName+suffix)
			if err := errors.Join(os.Remove(path), put(path)); err != nil {
				t.Fatal(err)
			}
			_, _, _, err := Open(directory, at(noon))
			_, usageErr := Usage(t.Context(), directory, usage.Query{By: usage.ByMonth})
			for _, err := range []error{err, usageErr} {
				if want := path + " is not a regular file: move it away"; err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		}
	}
}

func TestANewerSchemaIsLeftAlone(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	if err := s.db.Exec("pragma user_version = 99"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close() // the backup of a newer schema fails
	before := snapshot(t, directory)
	_, _, _, openErr := Open(directory, at(noon))
	_, usageErr := Usage(t.Context(), directory, usage.Query{By: usage.ByDay})
	for what, err := range map[string]error{"open": openErr, "usage": usageErr} {
		var newer *NewerError
		if !errors.As(err, &newer) || newer.Version != 99 || newer.Supported != len(migrations) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := snapshot(t, directory); after[databaseName] != before[databaseName] || after[databaseName+"-wal"] != before[databaseName+"-wal"] {
		t.Error("the database was changed")
	}
}

func TestPurgeRemovesExactlyOurFiles(t *testing.T) {
	directory := t.TempDir()
	if err := Purge(filepath.Join(directory, "missing")); err != nil {
		t.Error(err)
	}
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	if err := Purge(directory); !errors.As(err, new(*LockedError)) {
		t.Errorf("Purge while an agent runs: got %v, want a LockedError", err)
	}
	closeStore(t, s)
	others := []string{"notes", "ssmonitor.database", "ssmonitor.db.old", "lock2"}
	for _, name := range append([]string{"ssmonitor.db.new", "ssmonitor.db.new-wal", "ssmonitor.db.damaged-20260101T000000Z-shm", "ssmonitor.backup.db.new-journal"}, others...) {
		writeAll(t, filepath.Join(directory, name), nil)
	}
	if err := Purge(directory); err != nil {
		t.Fatal(err)
	}
	var left []string
	for name := range snapshot(t, directory) {
		left = append(left, name)
	}
	if slices.Sort(left); !slices.Equal(left, slices.Sorted(slices.Values(others))) {
		t.Errorf("got %v, want %v", left, others)
	}
}
