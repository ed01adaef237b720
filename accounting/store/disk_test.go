package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/accounting"
)

// smallDisk mounts a file system of its own for the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=1m,mode=0750"); err != nil {
		needRoot(t, fmt.Sprintf("the right to mount a tmpfs (%v)", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(directory, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return directory
}

// fill takes all space that is left and returns how to give it back.
func fill(t *testing.T, directory string) (free func()) {
	t.Helper()
	path := filepath.Join(directory, "ballast")
	ballast, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ballast.Close() }()
	for err == nil {
		_, err = ballast.Write(make([]byte, pageSize))
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

// growing returns a ledger with more accounts in every save.
func growing(save uint64) accounting.State {
	state := stateOf(save)
	state.Accounts = accountsOf(save, int(40*save))
	return state
}

func TestDiskFull(t *testing.T) {
	for saves := range uint64(4) {
		t.Run(fmt.Sprintf("after %d saves", saves), func(t *testing.T) {
			directory := filepath.Join(smallDisk(t), "state")
			s, _, _ := open(t, directory)
			for n := range saves {
				save(t, s, growing(n+1))
			}
			free := fill(t, filepath.Dir(directory))
			n := saves + 1
			for ; n <= saves+5; n++ {
				if err := s.Save(growing(n)); !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("save %d on a full disk: %v", n, err)
				}
				wantSaved(t, directory, saves)
			}
			free()
			save(t, s, growing(n))
			wantSaved(t, directory, n)
			// The other file had lacked all of it, and none of this.
			idle := growing(n)
			idle.Accounts, idle.In.Packets = nil, n+1
			save(t, s, idle)
			kill(s)
			want := growing(n)
			want.In.Packets = n + 1
			state, notices, err := Read(directory)
			if err != nil || len(notices) > 0 {
				t.Fatalf("reading: %v, %v", err, notices)
			}
			wantState(t, state, want)
		})
	}
}

func wantSaved(t *testing.T, directory string, save uint64) {
	t.Helper()
	if save == 0 {
		return
	}
	state, notices, err := Read(directory)
	if err != nil || len(notices) > 0 {
		t.Fatalf("reading: %v, %v", err, notices)
	}
	wantState(t, state, growing(save))
}

// TestDiskFullAtTheStart opens a new ledger and an old one without a byte
// left.
func TestDiskFullAtTheStart(t *testing.T) {
	disk := smallDisk(t)
	directory := filepath.Join(disk, "state")
	if err := os.Mkdir(directory, directoryMode); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{1, 3} {
		free := fill(t, disk)
		s, _, notices := open(t, directory)
		t.Logf("notices: %v", notices)
		if err := s.Save(growing(n)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("save %d on a full disk: %v", n, err)
		}
		free()
		save(t, s, growing(n))
		wantSaved(t, directory, n)
		kill(s)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	disk := smallDisk(t)
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|flags, "size=1m"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"there", "missing"} {
		t.Run(name, func(t *testing.T) {
			directory := filepath.Join(disk, name)
			var want accounting.State
			if name == "there" {
				s, _, _ := open(t, directory)
				save(t, s, stateOf(1), stateOf(2))
				closeStore(t, s)
				want = stateOf(2)
			}
			remount(syscall.MS_RDONLY)
			s, state, notices := open(t, directory)
			wantState(t, state, want)
			if len(notices) != 1 || !strings.Contains(notices[0].Text, "read-only file system") {
				t.Errorf("notices %v", notices)
			}
			for range 3 {
				if err := s.Save(stateOf(3)); !errors.Is(err, syscall.EROFS) {
					t.Errorf("got %v", err)
				}
			}
			remount(0)
			save(t, s, stateOf(3), stateOf(4))
			if _, _, _, err := Open(directory, Options{}); !errors.As(err, new(*LockedError)) {
				t.Errorf("the store holds no lock: %v", err)
			}
			closeStore(t, s)
			state, _, err := Read(directory)
			if err != nil {
				t.Fatal(err)
			}
			wantState(t, state, stateOf(4))
		})
	}
}

// TestALedgerThatAppearsLater is a state directory that is mounted after the
// agent started: nothing in it may be written over.
func TestALedgerThatAppearsLater(t *testing.T) {
	directory := saved(t, 3)
	hidden := directory + ".hidden"
	if err := os.Rename(directory, hidden); err != nil {
		t.Fatal(err)
	}
	writeAll(t, directory, nil) // a file in the way: no directory can be made
	if _, _, _, err := Open(directory, Options{}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("opening a file: %v", err)
	}
	below := filepath.Join(t.TempDir(), "state")
	if err := os.Symlink(filepath.Join(directory, "nowhere"), below); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(directory); err != nil {
		t.Fatal(err)
	}
	s, _, notices := open(t, below)
	if len(notices) != 1 {
		t.Fatalf("notices %v", notices)
	}
	if err := errors.Join(os.Remove(below), os.Rename(hidden, directory), os.Symlink(directory, below)); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, directory)
	if err := s.Save(stateOf(9)); err == nil || !strings.Contains(err.Error(), "start again") {
		t.Errorf("got %v", err)
	}
	for name, content := range snapshot(t, directory) {
		if before[name] != content {
			t.Errorf("%s changed", name)
		}
	}
	again, state, _ := open(t, directory)
	wantState(t, state, stateOf(3))
	closeStore(t, again)
}
