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

// TestKilledSetupsLeaveNothing kills setup 100 times at random moments around the
// writing of the list. The list is whole each time, and the next setup leaves
// nothing beside it.
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
		return []string{"setup", "--no-search", "--port", "20000-21999=" + name, "--ports", p.list}
	}
	left := 0
	for round := range 100 {
		before := files()
		killed := p.program(setup(fmt.Sprint("round ", round))...)
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = killed.Wait(); close(ended) }()
		for writing := false; !writing; { // no event tells of the writing before it happens
			select {
			case <-ended:
				writing = true
			default:
				writing = files() > before
			}
		}
		time.Sleep(rand.N(time.Millisecond)) // the moment is random
		_ = killed.Process.Kill()
		<-ended
		entries, err := portlist.Read(p.list)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) != 2000 {
			t.Fatalf("round %d: the list has %d ports, %v", round, len(entries), err)
		}
		if files() > 1 || len(entries) == 0 && files() > 0 {
			left++
		}
		if round%10 != 9 {
			continue
		}
		if status, _, stderr := call(t, setup(fmt.Sprint("round ", round))...); status != exitDone {
			t.Fatalf("round %d: status %d\n%s", round, status, stderr)
		}
		if got := files(); got != 1 {
			t.Fatalf("round %d: a setup after killed ones leaves %d files, want the list alone", round, got)
		}
	}
	if left == 0 {
		t.Error("no setup was killed while it wrote")
	}
	t.Logf("%d of 100 were killed while they wrote", left)
}
