package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/testkit"
)

// smallDisk mounts a small file system for the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=2m,mode=0750"); err != nil {
		testkit.Missing(t, "this test needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(directory, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return directory
}

// fill takes all free space and returns a function that frees it.
func fill(t *testing.T, directory string) (free func()) {
	t.Helper()
	path := filepath.Join(directory, "ballast")
	ballast, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ballast.Close() }()
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull saves more and more ports, so that each save needs more space.
func TestDiskFull(t *testing.T) {
	for saves := range uint64(4) {
		t.Run(fmt.Sprintf("after %d saves", saves), func(t *testing.T) {
			directory := filepath.Join(smallDisk(t), "state")
			s, _, _ := open(t, directory)
			for n := range saves {
				save(t, s, stateAt(n+1, int(20*(n+1))))
			}
			stopBackup(s)
			free := fill(t, filepath.Dir(directory))
			failed, n := 0, saves+1
			for ; n <= saves+5; n++ {
				err := s.Save(stateAt(n, int(20*n)))
				if err == nil {
					continue // the log still has room
				}
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("save %d on a full disk: got %v", n, err)
				}
				failed++
				if got := lastSave(t, directory).In.Packets; got >= stateAt(n, int(20*n)).In.Packets {
					t.Errorf("got save %d after it failed", n)
				}
			}
			if failed == 0 {
				t.Error("no save failed")
			}
			free()
			save(t, s, stateAt(n, int(20*n)))
			wantState(t, lastSave(t, directory), stateAt(n, int(20*n)))
			closeStore(t, s)
			wantSound(t, directory)
		})
	}
}

// TestDiskFullAtTheStart opens a new ledger without a byte left.
func TestDiskFullAtTheStart(t *testing.T) {
	disk := smallDisk(t)
	directory := filepath.Join(disk, "state")
	free := fill(t, disk)
	s, _, notices := open(t, directory)
	if len(notices) != 1 || !strings.Contains(notices[0].Text, "can't be saved yet") {
		t.Errorf("got notices %v", notices)
	}
	for range 3 {
		if err := s.Save(stateAt(1, 2)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Save on a full disk: got %v", err)
		}
	}
	free()
	save(t, s, stateAt(2, 2))
	closeStore(t, s)
	_, state, notices := open(t, directory)
	wantState(t, state, stateAt(2, 2))
	if len(notices) > 0 {
		t.Errorf("got notices %v", notices)
	}
	wantSound(t, directory)
}

func TestReadOnlyDisk(t *testing.T) {
	disk := smallDisk(t)
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|flags, "size=2m"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"there", "missing"} {
		t.Run(name, func(t *testing.T) {
			directory := filepath.Join(disk, name)
			n := uint64(0)
			if name == "there" {
				s, _, _ := open(t, directory)
				save(t, s, stateAt(1, 3), stateAt(2, 3))
				closeStore(t, s)
				n = 2
			}
			remount(syscall.MS_RDONLY)
			s, state, notices := open(t, directory)
			wantState(t, state, stateAt(n, int(3*min(n, 1))))
			if len(notices) != 1 || !strings.Contains(notices[0].Text, "read-only file system") {
				t.Errorf("got notices %v", notices)
			}
			for range 3 {
				if err := s.Save(stateAt(3, 3)); !errors.Is(err, syscall.EROFS) {
					t.Errorf("got %v", err)
				}
			}
			remount(0)
			save(t, s, stateAt(3, 3), stateAt(4, 3))
			if _, _, _, err := Open(directory, Options{}); !errors.As(err, new(*LockedError)) {
				t.Errorf("second Open: got %v, want a LockedError", err)
			}
			closeStore(t, s)
			wantState(t, lastSave(t, directory), stateAt(4, 3))
			wantSound(t, directory)
		})
	}
}

// TestALedgerThatAppearsLater mounts a state directory after the agent has
// started: nothing in it may be overwritten.
func TestALedgerThatAppearsLater(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(3, 2))
	closeStore(t, s)
	link := filepath.Join(t.TempDir(), "state")
	if err := os.Symlink(filepath.Join(directory, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	s, _, notices := open(t, link)
	if len(notices) != 1 {
		t.Fatalf("got notices %v", notices)
	}
	if err := errors.Join(os.Remove(link), os.Symlink(directory, link)); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(stateAt(9, 1)); err == nil || !strings.Contains(err.Error(), "restart ssmonitor") {
		t.Errorf("Save: got %v, want an error that says to restart", err)
	}
	closeStore(t, s)
	again, state, _ := open(t, directory)
	wantState(t, state, stateAt(3, 2))
	closeStore(t, again)
}
