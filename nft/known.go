package nft

import (
	"slices"

	"ssmonitor/accounting"
)

// known is what is known of the table in the kernel, so that nothing is looked at again
// without need. Only the methods below set these facts:
//
//	event                        generation  lookupUnused  listed             onlyOurChanges  verified
//	lookedUp, same generation                true          if the same table
//	lookedUp, another            the found   true          false              false           false
//	lookupUsed                               false
//	inspecting                                                                true            false
//	foundRight                               false                                            onlyOurChanges
//	committed                    the next    false         false
//	created                                                                   true
//	reading                                                false
//	readAt                                                 if at the generation
//	noLongerRight                                                                             false
type known struct {
	// generation is that of the ruleset. Each commit, ours or of others, advances the
	// kernel's by one. Here only ours do, so that a lookup that finds another one shows
	// that others have changed something.
	generation uint32
	table      tableInfo // as it was looked up last; zero: it does not exist, or was not looked up yet
	// lookupUnused reports whether neither Verify nor a commit has relied on the last
	// lookup yet, so that it still counts as one.
	lookupUnused bool

	counters counterList
	refused  int  // counters that could not be attached since the last reading: somebody else may be adding them
	listed   bool // counters was exactly what existed at the generation

	onlyOurChanges bool // only we have changed the ruleset since the last inspection began
	verified       bool // onlyOurChanges, and the table is as it should be for the counted keys
	counted        accounting.KeyMap[bool]
}

// lookedUp records the table as it is at a generation. It is compared with what was
// known, use included: a transaction that the kernel has not finished changes that
// before the generation.
func (k *known) lookedUp(generation uint32, table tableInfo) {
	if generation != k.generation {
		k.onlyOurChanges, k.verified = false, false
	}
	k.listed = k.listed && generation == k.generation && table == k.table
	k.generation, k.table, k.lookupUnused = generation, table, true
}

// lookupUsed follows a verification that relied on the last lookup.
func (k *known) lookupUsed() { k.lookupUnused = false }

// inspecting follows the lookup with which an inspection begins.
func (k *known) inspecting() { k.onlyOurChanges, k.verified = true, false }

// foundRight records that the inspection, with our commits since, leaves the table as it
// should be for the ports.
func (k *known) foundRight(ports accounting.Ports) {
	k.verified, k.lookupUnused = k.onlyOurChanges, false
	k.counted = accounting.KeyMap[bool]{}
	k.attached(ports.Keys())
}

// noLongerRight records that the table should be otherwise, or is going to be.
func (k *known) noLongerRight() { k.verified = false }

// committed follows a commit of ours. The kernel skips generation 0.
func (k *known) committed() {
	k.generation = max(k.generation+1, 1)
	k.listed, k.lookupUnused = false, false
}

// created follows the commit that created the table, which is right whatever others did
// before.
func (k *known) created() {
	k.onlyOurChanges = true
	k.counters.clear()
}

// reading begins a reading of the counters.
func (k *known) reading() { k.listed = false }

// readAt follows a reading of every counter. Its first answer was written at the
// generation, as far as a message holds that.
func (k *known) readAt(generation uint16) {
	k.listed, k.refused = generation == uint16(k.generation), 0
}

// refuse records that keys could not be attached.
func (k *known) refuse(keys []accounting.Key) { k.refused = len(keys) }

func (k *known) attached(keys []accounting.Key) {
	for _, key := range keys {
		*k.counted.At(key) = true
	}
}

func (k *known) detached(keys []accounting.Key) {
	for _, key := range keys {
		*k.counted.At(key) = false
	}
}

// counts reports whether the table is known to be right and to count all the ports.
func (k *known) counts(ports accounting.Ports) bool {
	var keys [4]accounting.Key // of a port
	for _, port := range ports {
		if slices.ContainsFunc(port.Keys(keys[:0]), func(key accounting.Key) bool { return !k.counted.Get(key) }) {
			return false
		}
	}
	return k.verified
}

// counterList lists the counters that are known to exist, in the order in which the
// kernel lists them.
type counterList struct {
	keys  []accounting.Key         // a deleted counter leaves the zero key, a gap
	gaps  int                      // number of them
	place accounting.KeyMap[int32] // 1 plus the index in keys
}

func (l *counterList) len() int { return len(l.keys) - l.gaps }

// index returns where a key is in the list, -1 if it is not.
func (l *counterList) index(key accounting.Key) int { return int(l.place.Get(key)) - 1 }

func (l *counterList) add(keys ...accounting.Key) {
	for _, key := range keys {
		if place := l.place.At(key); *place == 0 {
			l.keys = append(l.keys, key)
			*place = int32(len(l.keys))
		}
	}
}

func (l *counterList) remove(keys []accounting.Key) {
	for _, key := range keys {
		if i := l.index(key); i >= 0 {
			l.keys[i] = accounting.Key{}
			l.gaps++
			*l.place.At(key) = 0
		}
	}
}

func (l *counterList) clear() {
	l.remove(l.keys)
	l.keys, l.gaps = l.keys[:0], 0
}

// replace makes the list that of the readings. It returns the readings without those
// that repeat a counter.
func (l *counterList) replace(readings []accounting.Reading) []accounting.Reading {
	l.clear()
	l.keys = slices.Grow(l.keys, len(readings))
	once := readings[:0]
	for _, reading := range readings {
		if l.index(reading.Key) < 0 {
			l.add(reading.Key)
			once = append(once, reading)
		}
	}
	return once
}
