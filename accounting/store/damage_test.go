package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
)

// largeStateOf is a ledger that takes branch pages.
func largeStateOf(save uint64) accounting.State {
	state := stateOf(save)
	state.Accounts = accountsOf(save, 80)
	return state
}

// largeLedger returns a ledger of five saves, and the paths of the file with
// the last one and of the other.
func largeLedger(t testing.TB) (directory, newest, older string) {
	t.Helper()
	directory = t.TempDir()
	s, _, _ := open(t, directory)
	for n := range uint64(5) {
		save(t, s, largeStateOf(n+1))
	}
	kill(s)
	newest = newestPath(t, directory)
	return directory, newest, otherOf(newest)
}

// damage is something that happens to a file.
type damage struct {
	name   string
	change func(content []byte) []byte
}

// damages returns cuts, garbage, and flipped bits at places of all kinds.
func damages(random *rand.Rand, size, of int) []damage {
	var all []damage
	for range of {
		at, sector := random.IntN(size), random.IntN(size/512)*512
		noise := make([]byte, 64)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		bit := byte(1) << random.IntN(8)
		all = append(all,
			damage{fmt.Sprintf("cut at %d", at), func(content []byte) []byte { return content[:at] }},
			damage{fmt.Sprintf("garbage at %d", at), func(content []byte) []byte { copy(content[at:], noise); return content }},
			damage{fmt.Sprintf("bit %#x flipped at %d", bit, at), func(content []byte) []byte { content[at] ^= bit; return content }},
			damage{fmt.Sprintf("zeros at %d", sector), func(content []byte) []byte { clear(content[sector : sector+512]); return content }},
			damage{fmt.Sprintf("page %d at %d", at%97, sector), func(content []byte) []byte {
				source := at % 97 * pageSize % (size - pageSize)
				copy(content[sector/pageSize*pageSize:], bytes.Clone(content[source:source+pageSize]))
				return content
			}},
		)
	}
	return all
}

func TestADamagedFileGivesWayToTheOther(t *testing.T) {
	directory, newest, older := largeLedger(t)
	good := snapshot(t, directory)
	random := rand.New(rand.NewPCG(5, 6))
	for _, hit := range []string{newest, older} {
		name := filepath.Base(hit)
		noticed := 0
		all := damages(random, len(good[name]), 100)
		for i, damage := range all {
			broken := damage.change([]byte(good[name]))
			writeAll(t, hit, broken)
			if !readDamaged(t, directory, damage.name) {
				continue
			}
			noticed++
			if i%20 == 0 {
				goOnAfterDamage(t, directory, damage.name, broken)
				restore(t, directory, good)
			}
		}
		t.Logf("%s: of %d damages %d were noticed, the others hit pages that are not in use", name, len(all), noticed)
		if noticed < len(all)/4 {
			t.Errorf("only %d damages were noticed", noticed)
		}
		writeAll(t, hit, []byte(good[name]))
	}
}

// readDamaged reads a ledger of five saves that something was done to and
// tells whether that was noticed.
func readDamaged(t *testing.T, directory, what string) bool {
	t.Helper()
	state, notices, err := Read(directory)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	got := state.In.Packets
	if got != 5 && (got != 4 || len(notices) == 0) {
		t.Fatalf("%s: read save %d, notices %v", what, got, notices)
	}
	if want := largeStateOf(got); !sameState(want, state) {
		t.Fatalf("%s: wrong numbers: %s", what, cmp.Diff(want, state))
	}
	return len(notices) > 0
}

// goOnAfterDamage opens such a ledger, finds the damaged file set aside, and
// saves to both files.
func goOnAfterDamage(t *testing.T, directory, what string, broken []byte) {
	t.Helper()
	s, state, notices := open(t, directory)
	if got := state.In.Packets; len(notices) != 1 || notices[0].Lost || !sameState(largeStateOf(got), state) {
		t.Errorf("%s: opened to save %d with notices %v", what, got, notices)
	}
	var aside []string
	for name, content := range snapshot(t, directory) {
		if strings.Contains(name, damagedInfix) {
			aside = append(aside, content)
		}
	}
	if len(aside) != 1 || aside[0] != string(broken) {
		t.Errorf("%s: the damaged file was not set aside as it was", what)
	}
	save(t, s, largeStateOf(6), largeStateOf(7))
	kill(s)
	state, _, err := Read(directory)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	wantState(t, state, largeStateOf(7))
}

// restore makes the directory hold the files alone.
func restore(t testing.TB, directory string, files map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.Remove(filepath.Join(directory, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		writeAll(t, filepath.Join(directory, name), []byte(content))
	}
}

func TestDamagesOfTheTreeAreNoticed(t *testing.T) {
	_, newest, _ := largeLedger(t)
	content := readAll(t, newest)
	root, err := readRoot(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	branch, leaf := findPages(t, content, root)
	order := binary.NativeEndian
	tests := map[string]func(content []byte){
		"a page says that it is another": func(c []byte) { c[leaf] ^= 1 },
		"a page of no type":              func(c []byte) { order.PutUint16(c[leaf+8:], 0x40) },
		"a leaf becomes a branch":        func(c []byte) { order.PutUint16(c[leaf+8:], branchFlag) },
		"a leaf without entries":         func(c []byte) { order.PutUint16(c[leaf+10:], 0) },
		"a branch without entries":       func(c []byte) { order.PutUint16(c[branch+10:], 0) },
		"more entries than there are":    func(c []byte) { order.PutUint16(c[leaf+10:], 0xffff) },
		"pages taken over":               func(c []byte) { order.PutUint32(c[leaf+12:], 1) },
		"all pages taken over":           func(c []byte) { order.PutUint32(c[leaf+12:], 1<<32-1) },
		"a key of a branch too high":     func(c []byte) { raiseKey(c, branch, 1) },
		"a page used twice":              func(c []byte) { copy(c[branch+pageHeaderSize+8:][:8], c[branch+pageHeaderSize+elementSize+8:]) },
		"a branch in a circle":           func(c []byte) { order.PutUint64(c[branch+pageHeaderSize+8:], uint64(branch/pageSize)) },
		"a page beyond the end":          func(c []byte) { order.PutUint64(c[branch+pageHeaderSize+8:], root.pages) },
		"a page number beyond all":       func(c []byte) { order.PutUint64(c[branch+pageHeaderSize+8:], 1<<63) },
		"a root page as a leaf":          func(c []byte) { order.PutUint64(c[branch+pageHeaderSize+8:], 1) },
		"an entry beyond its page":       func(c []byte) { order.PutUint32(c[leaf+pageHeaderSize+12:], 1<<31) },
		"a position beyond its page":     func(c []byte) { order.PutUint32(c[leaf+pageHeaderSize+4:], 1<<32-1) },
		"a key of no length":             func(c []byte) { order.PutUint32(c[leaf+pageHeaderSize+8:], 0) },
		"a row becomes a bucket":         func(c []byte) { order.PutUint32(c[leaf+pageHeaderSize:], bucketFlag) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			broken := bytes.Clone(content)
			change(broken)
			if _, err := scan(bytes.NewReader(broken), int64(len(broken)), root); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// findPages returns the offsets of a branch in use and of its first leaf.
func findPages(t *testing.T, content []byte, root root) (branch, leaf int) {
	t.Helper()
	tree, err := newTree(bytes.NewReader(content), int64(len(content)), root)
	if err != nil {
		t.Fatal(err)
	}
	buckets, err := tree.buckets()
	if err != nil || buckets[0].name != accountsBucket {
		t.Fatalf("buckets %v, %v", buckets, err)
	}
	branch = int(buckets[0].page) * pageSize
	leaf = int(binary.NativeEndian.Uint64(content[branch+pageHeaderSize+8:])) * pageSize
	return branch, leaf
}

func raiseKey(content []byte, page, entry int) {
	element := page + pageHeaderSize + entry*elementSize
	content[element+int(binary.NativeEndian.Uint32(content[element:]))]++
}

// FuzzScan changes a good file at any place: what is read is an error or what
// was saved.
func FuzzScan(f *testing.F) {
	_, newest, _ := largeLedger(f)
	content := readAll(f, newest)
	root, err := readRoot(bytes.NewReader(content))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{})
	f.Add(uint32(root.page*pageSize), []byte{0xff})
	f.Add(uint32(root.page*pageSize+10), []byte{0xff, 0xff, 1})
	want := largeStateOf(5)
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		changed := bytes.Clone(content)
		copy(changed[int(at)%len(changed):], patch)
		found, err := scan(bytes.NewReader(changed), int64(len(changed)), root)
		if err == nil && found.header.version == formatVersion && !sameState(want, found.state) {
			t.Errorf("wrong numbers without an error after %x at %d", patch, at)
		}
	})
}

func TestBothDamaged(t *testing.T) {
	directory := saved(t, 3)
	before := snapshot(t, directory)
	for name, content := range before {
		broken := []byte(content)
		clear(broken[2*pageSize:])
		writeAll(t, filepath.Join(directory, name), broken)
		before[name] = string(broken)
	}
	if _, _, err := Read(directory); !errors.Is(err, ErrDamaged) {
		t.Errorf("reading: %v", err)
	}
	now := time.Date(2026, 7, 1, 12, 30, 0, 0, time.UTC)
	s, state, notices, err := Open(directory, Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	wantState(t, state, accounting.State{})
	if len(notices) != 2 || !notices[0].Lost || !strings.Contains(notices[1].Text, "begin anew") {
		t.Errorf("notices %v", notices)
	}
	kept := map[string]string{}
	for name, content := range before {
		kept[name+".damaged-20260701T123000Z"] = content
	}
	if !maps.Equal(kept, snapshot(t, directory)) {
		t.Errorf("files %v, want those set aside as they were", slices.Collect(maps.Keys(snapshot(t, directory))))
	}
	save(t, s, stateOf(7), stateOf(8))
	state, _, err = Read(directory)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, state, stateOf(8))
}

func TestOnlySoManyDamagedFilesAreKept(t *testing.T) {
	directory := saved(t, 2)
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	for day := range maxSetAside + 3 {
		path := newestPath(t, directory)
		writeAll(t, path, []byte("no database"))
		s, _, notices, err := Open(directory, Options{Now: func() time.Time { return now.AddDate(0, 0, day/2) }})
		if err != nil {
			t.Fatal(err)
		}
		if removed := len(notices) > 1; removed != (day >= maxSetAside) {
			t.Errorf("day %d: notices %v", day, notices)
		}
		save(t, s, stateOf(uint64(day+2)), stateOf(uint64(day+3)))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	aside, err := ownFiles(directory, func(name string) bool { return strings.Contains(name, damagedInfix) })
	if err != nil || len(aside) != maxSetAside {
		t.Errorf("kept %v, %v", aside, err)
	}
	if _, err := os.Stat(filepath.Join(directory, fileNames[0]+damagedInfix+"20260701T000000Z")); err == nil {
		t.Error("the oldest is still there")
	}
}

// TestAFileCutUnderARunningAgent is a memory fault inside bbolt.
func TestAFileCutUnderARunningAgent(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, largeStateOf(1), largeStateOf(2))
	path := otherOf(newestPath(t, directory)) // its turn is next
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	err := s.Save(largeStateOf(3))
	if !errors.Is(err, errPanicked) {
		t.Fatalf("got %v", err)
	}
	save(t, s, largeStateOf(3), largeStateOf(4), largeStateOf(5))
	kill(s)
	found, err := inspect(directory)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, found[found.newest()].state, largeStateOf(5))
	wantState(t, found[1-found.newest()].state, largeStateOf(4))
}

// TestTheOtherFileIsDamagedUnderARunningAgent replaces a file that a save
// failed on, when the one that it would be copied from is damaged.
func TestTheOtherFileIsDamagedUnderARunningAgent(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, largeStateOf(1), largeStateOf(2), largeStateOf(3))
	target, other := &s.files[s.turn], &s.files[1-s.turn]
	target.distrust(nil)
	broken := readAll(t, other.path)
	clear(broken[firstTreePage*pageSize:])
	writeAll(t, other.path, broken)
	part := largeStateOf(4)
	part.Accounts = part.Accounts[:10]
	save(t, s, part)
	state, notices, err := Read(directory)
	if err != nil || len(notices) != 1 {
		t.Fatalf("reading: %v, %v", err, notices)
	}
	want := largeStateOf(3)
	want.In, want.Out = part.In, part.Out
	copy(want.Accounts, part.Accounts)
	wantState(t, state, want)
	save(t, s, largeStateOf(5))
	kill(s)
	files := snapshot(t, directory)
	if len(files) != 3 {
		t.Errorf("%d files, want the damaged one set aside and two others", len(files))
	}
	if state, notices, err = Read(directory); err != nil || len(notices) > 0 {
		t.Fatalf("reading: %v, %v", err, notices)
	}
	wantState(t, state, largeStateOf(5))
}

// TestTheOlderFileIsNoReplacement damages the newer file after the older one
// was found to lack its save: a copy of the older one would lose that.
func TestTheOlderFileIsNoReplacement(t *testing.T) {
	directory := saved(t, 3)
	s, _, _ := open(t, directory)
	if err := os.Truncate(newestPath(t, directory), 100); err != nil {
		t.Fatal(err)
	}
	part := stateOf(4)
	part.Accounts = part.Accounts[:1]
	if err := s.Save(part); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}
