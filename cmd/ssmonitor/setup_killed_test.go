package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ssmonitor/integration/portlist"
)

// TestKilledSetupsLeaveNothing kills setup 100 times at random moments. The list is
// whole each time, hardly ever has company, and the next setup leaves nothing beside it.
func TestKilledSetupsLeaveNothing(t *testing.T) {
	p := newPlace(t)
	p.list = filepath.Join(p.directory, "lists", "ports")
	if err := os.Mkdir(filepath.Dir(p.list), 0o755); err != nil {
		t.Fatal(err)
	}
	files := func() int {
		entries, err := os.ReadDir(filepath.Dir(p.list))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	setup := func(name string) []string {
		return []string{"setup", "--no-search", "--port", "20000-21999=" + name, "--list", p.list}
	}
	left, took := 0, 20*time.Millisecond
	for round := range 100 {
		killed := programOf(setup(fmt.Sprint("round ", round))...)
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(took)) // the moment is random
		_ = killed.Process.Kill()
		_ = killed.Wait()
		entries, err := portlist.Read(p.list)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) != 2000 {
			t.Fatalf("round %d: the list has %d ports, %v", round, len(entries), err)
		}
		if files() > 2 || len(entries) == 0 && files() > 1 {
			left++
		}
		if round%10 != 9 {
			continue
		}
		began := time.Now()
		if status, _, stderr := call(t, setup(fmt.Sprint("round ", round))...); status != exitDone {
			t.Fatalf("round %d: status %d\n%s", round, status, stderr)
		}
		took = 2 * time.Since(began) // with the time until the program runs
		if got := files(); got != 2 {
			t.Fatalf("round %d: a setup after killed ones leaves %d files, want the list and the file of clients", round, got)
		}
	}
	if left > 20 {
		t.Errorf("%d of 100 killed setups left something", left)
	}
	t.Logf("%d of 100 left something", left)
}
