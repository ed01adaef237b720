package accounting

import (
	"maps"
	"slices"
)

// MaxFormers bounds how many counters of former tables are remembered: several
// tables of the largest ledgers, thousands of small ones.
const MaxFormers = 1 << 17

// Former is the last reading of a counter in a table that an account was read from
// before it was read from another one. Where an agent runs in several network
// namespaces in turn, or on several machines, a table returns, and its counters
// continue from there.
type Former struct {
	Key    Key
	Last   Count
	Epoch  Epoch
	Handle uint64
}

// Formers remembers counters of former tables, one per key and table: within a
// table, handles only grow, so that older counters of a key never return. The zero
// value is empty.
type Formers struct {
	of   map[formerKey]former
	left []uint32 // numbers of the tables' epochs, the one that was left last at the end
}

type formerKey struct {
	key   Key
	epoch uint32
}

type former struct {
	last   Count
	handle uint64
}

// Set remembers a counter. epoch is the number of its table's epoch.
func (f *Formers) Set(key Key, epoch uint32, handle uint64, last Count) {
	if f.of == nil {
		f.of = make(map[formerKey]former)
	}
	f.of[formerKey{key, epoch}] = former{last, handle}
	if newest := len(f.left) - 1; newest < 0 || f.left[newest] != epoch {
		f.left = append(slices.DeleteFunc(f.left, func(other uint32) bool { return other == epoch }), epoch)
	}
}

// Trim forgets the tables that were left longest ago until at most limit counters
// are remembered, but never the table that was left last.
func (f *Formers) Trim(limit int) {
	for len(f.of) > limit && len(f.left) > 1 {
		oldest := f.left[0]
		maps.DeleteFunc(f.of, func(key formerKey, _ former) bool { return key.epoch == oldest })
		f.left = f.left[1:]
	}
}

// get returns the last value of a counter, and whether it is remembered.
func (f *Formers) get(key Key, epoch uint32, handle uint64) (Count, bool) {
	found, known := f.of[formerKey{key, epoch}]
	return found.last, known && found.handle == handle
}

// All returns all counters, beginning with the table that was left longest ago.
func (f *Formers) All(epochs *Epochs) []Former {
	all := make([]Former, 0, len(f.of))
	for _, epoch := range f.left {
		first := len(all)
		for key, found := range f.of {
			if key.epoch == epoch {
				all = append(all, Former{key.key, found.last, epochs.Epoch(epoch), found.handle})
			}
		}
		slices.SortFunc(all[first:], func(a, b Former) int { return a.Key.Compare(b.Key) })
	}
	return all
}
