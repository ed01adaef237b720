package accounting

import "time"

// Count is the value of a counter: packets as the kernel sees them (after GRO,
// before GSO) and bytes from the IP header up.
type Count struct {
	Packets uint64
	Bytes   uint64
}

// Plus returns the sum of two counts.
func (c Count) Plus(other Count) Count {
	return Count{c.Packets + other.Packets, c.Bytes + other.Bytes}
}

func (c Count) minus(other Count) Count {
	return Count{c.Packets - other.Packets, c.Bytes - other.Bytes}
}

// Epoch is the instance id of a table: a random value that the table is created
// with. The zero epoch stands for a table with our mark that has none.
type Epoch [16]byte

// Reading is one counter of a sample. Handle is the kernel's number for the
// object. It is never used twice in a table, so epoch and handle identify the
// counter when a port is removed and comes back.
type Reading struct {
	Key    Key
	Handle uint64
	Count  Count
	// Loaded is true of a counter that was loaded from a saved ruleset, so that
	// it began with an old value and not at 0.
	Loaded bool
}

// Sample is one reading of all counters in the table, including those of ports
// that are not in force.
type Sample struct {
	Time     time.Time // when the reading began, with its monotonic part; set by the caller of Read
	Epoch    Epoch
	Readings []Reading // each key once, in any order
}
