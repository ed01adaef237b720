package accounting

import (
	"slices"
	"time"
)

// Count is the value of a counter.
type Count struct {
	Packets uint64 // as the kernel sees them: after GRO, before GSO
	Bytes   uint64 // from the IP header up
}

// Plus returns the sum of two counts.
func (c Count) Plus(other Count) Count {
	return Count{c.Packets + other.Packets, c.Bytes + other.Bytes}
}

// Minus returns the difference of two counts.
func (c Count) Minus(other Count) Count {
	return Count{c.Packets - other.Packets, c.Bytes - other.Bytes}
}

// Epoch is the instance id of a table: a random value that the table is created
// with. The zero epoch stands for a table with our mark that has none.
type Epoch [16]byte

// Epochs numbers epochs, so that a number can stand for one in many accounts.
// There are few: one for each table that there ever was.
type Epochs struct {
	list []Epoch
}

// Number returns the number of an epoch, from 1.
func (e *Epochs) Number(epoch Epoch) uint32 {
	place := slices.Index(e.list, epoch)
	if place < 0 {
		place = len(e.list)
		e.list = append(e.list, epoch)
	}
	return uint32(place) + 1
}

// Epoch returns the epoch with a number that Number has returned.
func (e *Epochs) Epoch(number uint32) Epoch { return e.list[number-1] }

// Reading is one counter of a sample.
type Reading struct {
	Key Key
	// Loaded reports whether the counter was loaded from a saved ruleset, so
	// that it began with an old value instead of 0.
	Loaded bool
	// Handle is the kernel's number for the counter. It is never used twice in
	// a table. So the epoch and the handle distinguish the counter of a port
	// from the one it gets after it was removed and added again.
	Handle uint64
	Count  Count
}

// Sample is one reading of all counters in the table, including those of ports
// that are not in force.
type Sample struct {
	Time     time.Time // when the reading began, with the monotonic clock; set by the caller of Read
	Epoch    Epoch
	Readings []Reading // each key once, in any order
	// Generation changes with everything that anybody changes beside the counters; 0:
	// unknown.
	Generation uint32
}
