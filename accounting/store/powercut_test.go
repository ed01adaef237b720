package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

const sectorSize = 512

// TestPowerCut tears a save in every way: of the pages that it wrote any
// subset reached the disk, in the order of bbolt's flushes or not, some of
// them only in part. The ledger opens to that save or to the one before.
func TestPowerCut(t *testing.T) {
	for _, saves := range []uint64{2, 3, 4, 9} {
		t.Run(fmt.Sprintf("during save %d", saves+1), func(t *testing.T) { cutPower(t, saves) })
	}
}

func cutPower(t *testing.T, saves uint64) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	for n := range saves {
		save(t, s, stateOf(n+1))
	}
	before := snapshot(t, directory)
	save(t, s, stateOf(saves+1))
	after := snapshot(t, directory)
	kill(s)
	name := filepath.Base(newestPath(t, directory))
	other := filepath.Base(otherOf(name))
	if before[other] != after[other] {
		t.Fatal("the save wrote to both files")
	}
	torn := newTornSave(before[name], after[name])
	t.Logf("%d pages changed", len(torn.changed))
	opened := map[uint64]int{}
	variants := 0
	for variant, ordered := range torn.variants() {
		restore(t, directory, map[string]string{other: after[other], name: string(variant)})
		state, notices, err := Read(directory)
		if err != nil {
			t.Fatal(err)
		}
		got := state.In.Packets
		if got != saves && got != saves+1 {
			t.Fatalf("opened to save %d, want %d or %d", got, saves, saves+1)
		}
		opened[got]++
		wantState(t, state, stateOf(got))
		if ordered && len(notices) > 0 {
			t.Errorf("a disk that keeps the order of flushes left a damaged file: %v", notices)
		}
		if variants++; variants%16 != 0 {
			continue
		}
		s, state, _ := open(t, directory)
		wantState(t, state, stateOf(got))
		save(t, s, stateOf(saves+2))
		kill(s)
		state, _, err = Read(directory)
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, state, stateOf(saves+2))
	}
	t.Logf("opened to (save: times) %v", opened)
	if opened[saves] == 0 || opened[saves+1] == 0 {
		t.Errorf("not both states were met: %v", opened)
	}
}

// tornSave is a file before and after a save.
type tornSave struct {
	before, after []byte
	changed       []int // offsets of the pages that the save wrote
}

func newTornSave(before, after string) *tornSave {
	torn := &tornSave{before: make([]byte, len(after)), after: []byte(after)}
	copy(torn.before, before)
	for at := 0; at < len(after); at += pageSize {
		if !bytes.Equal(torn.before[at:at+pageSize], torn.after[at:at+pageSize]) {
			torn.changed = append(torn.changed, at)
		}
	}
	return torn
}

// variants yields every subset of the changed pages, as far as those are few,
// and random subsets with some of the pages torn between sectors. Ordered are
// those that a disk can show which writes all before a flush before all after
// it: no root page before all the others.
func (torn *tornSave) variants() func(yield func(file []byte, ordered bool) bool) {
	const random = 150
	return func(yield func([]byte, bool) bool) {
		subsets := 1 << min(len(torn.changed), 8)
		source := rand.New(rand.NewPCG(7, 8))
		for i := range subsets + random {
			exhaustive := i < subsets && len(torn.changed) <= 8
			file := bytes.Clone(torn.before)
			root, complete := false, true
			for n, at := range torn.changed {
				whole := i>>n&1 == 1
				if !exhaustive {
					whole = source.IntN(3) > 0
				}
				end := at
				switch {
				case whole:
					end += pageSize
				case !exhaustive && source.IntN(2) == 0:
					end += source.IntN(pageSize/sectorSize) * sectorSize
				}
				copy(file[at:end], torn.after[at:end])
				switch {
				case at < firstTreePage*pageSize:
					root = root || end > at
				case end < at+pageSize:
					complete = complete && bytes.Equal(file[at:at+pageSize], torn.after[at:at+pageSize])
				}
			}
			if !yield(file, complete || !root) {
				return
			}
		}
	}
}

// TestPowerCutBeforeTheRename leaves the unfinished file of a save that
// replaces another.
func TestPowerCutBeforeTheRename(t *testing.T) {
	directory := saved(t, 3)
	whole := readAll(t, newestPath(t, directory))
	for _, size := range []int{0, 1, pageSize, len(whole) / 2, len(whole)} {
		for _, name := range fileNames {
			writeAll(t, filepath.Join(directory, name+newSuffix), whole[:size])
		}
		s, state, notices := open(t, directory)
		wantState(t, state, stateOf(3))
		if len(notices) > 0 {
			t.Errorf("notices %v", notices)
		}
		save(t, s, stateOf(4), stateOf(5), stateOf(3))
		kill(s)
	}
}
