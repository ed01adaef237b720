package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestHolder(t *testing.T) {
	directory := t.TempDir()
	wantNobody := func(when string) {
		t.Helper()
		if holder, err := Holder(directory); holder != nil || err != nil {
			t.Errorf("%s: got holder %v, %v", when, holder, err)
		}
	}
	wantNobody("nothing was ever saved")
	s, _, _ := open(t, directory)
	holder, err := Holder(directory)
	if err != nil || holder == nil || holder.PID != os.Getpid() || holder.Directory != directory {
		t.Errorf("got holder %v, %v", holder, err)
	}
	closeStore(t, s)
	wantNobody("closed")

	// A killed process leaves its number behind, which another process may have by
	// now.
	for _, text := range []string{fmt.Sprintf("%d ssmonitor run\n", os.Getppid()), "no number"} {
		writeAll(t, filepath.Join(directory, lockName), []byte(text))
		wantNobody(text)
	}
	if _, err := Holder(filepath.Join(directory, lockName)); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Holder of a file: got %v", err)
	}
}

func TestHoldsFlock(t *testing.T) {
	locks := []byte("1: POSIX  ADVISORY  WRITE 11 08:01:5 0 EOF\n" +
		"2: FLOCK  ADVISORY  READ 12 08:01:5 0 EOF\n" +
		"3: FLOCK  ADVISORY  WRITE 13 08:01:5 0 EOF\n" +
		"3: -> FLOCK  ADVISORY  WRITE 14 08:01:5 0 EOF\n" +
		"short\n")
	for pid, want := range map[int]bool{11: false, 12: false, 13: true, 14: false, 1: false, 3: false} {
		if holdsFlock(locks, pid) != want {
			t.Errorf("process %d: got %t, want %t", pid, !want, want)
		}
	}
}
