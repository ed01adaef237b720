package sqlitefile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// The library opens the index of a log by its name when SQLite needs it.
func TestAnIndexIsLookedAtFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	handle, err := OpenRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	f := newFile(handle, vfs.OPEN_MAIN_DB|vfs.OPEN_READONLY)
	defer f.Close() //nolint:errcheck // the test is over
	if f.SharedMemory() != f.index {
		t.Error("an index that does not exist is refused")
	}
	if err := syscall.Mkfifo(path+indexSuffix, 0o444); err != nil {
		t.Fatal(err)
	}
	if got := f.SharedMemory(); got == nil || got == f.index {
		t.Error("a FIFO is opened")
	}
	if err := errors.Join(os.Remove(path+indexSuffix), os.WriteFile(path+indexSuffix, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if f.SharedMemory() != f.index {
		t.Error("a regular file is refused")
	}
}

// A writer is announced, waits for the readers that there are, and keeps new ones out.
func TestLockLevels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	var files [3]*file
	for i := range files {
		handle, err := OpenRegular(path, os.O_RDWR|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = newFile(handle, vfs.OPEN_MAIN_DB|vfs.OPEN_READWRITE)
		defer files[i].Close() //nolint:errcheck // the test is over
	}
	a, b, c := files[0], files[1], files[2]
	wantReserved := func(want bool) {
		t.Helper()
		if got, err := b.CheckReservedLock(); got != want || err != nil {
			t.Errorf("reserved: got %v, %v, want %v", got, err, want)
		}
	}
	want := func(err error, busy bool) {
		t.Helper()
		if errors.Is(err, sqlite3.BUSY) != busy || (err != nil && !busy) {
			t.Errorf("got %v, want busy: %v", err, busy)
		}
	}
	want(a.Lock(vfs.LOCK_SHARED), false)
	want(b.Lock(vfs.LOCK_SHARED), false)
	wantReserved(false)
	want(a.Lock(vfs.LOCK_RESERVED), false)
	wantReserved(true)
	want(b.Lock(vfs.LOCK_RESERVED), true)
	want(a.Lock(vfs.LOCK_EXCLUSIVE), true)
	want(c.Lock(vfs.LOCK_SHARED), true)
	want(b.Unlock(vfs.LOCK_NONE), false)
	want(a.Lock(vfs.LOCK_EXCLUSIVE), false)
	want(b.Lock(vfs.LOCK_SHARED), true)
	want(a.Unlock(vfs.LOCK_SHARED), false)
	want(b.Lock(vfs.LOCK_SHARED), false)
	wantReserved(false)
	want(b.Lock(vfs.LOCK_RESERVED), false)
	want(a.Unlock(vfs.LOCK_NONE), false)
	want(b.Lock(vfs.LOCK_EXCLUSIVE), false)
	want(b.Unlock(vfs.LOCK_NONE), false)
	want(a.Lock(vfs.LOCK_SHARED), false)
}
