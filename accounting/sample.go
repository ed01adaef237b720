package accounting

import (
	"encoding/hex"
	"errors"
	"time"
)

// Count is what a counter holds: packets as the kernel sees them (after GRO,
// before GSO) and bytes from the IP header up.
type Count struct {
	Packets uint64
	Bytes   uint64
}

// Plus returns the sum of two counts.
func (c Count) Plus(other Count) Count {
	return Count{c.Packets + other.Packets, c.Bytes + other.Bytes}
}

// Epoch is the random id that a table was made with. The zero epoch stands for
// a marked table without one.
type Epoch [16]byte

// String returns the epoch in hexadecimal.
func (e Epoch) String() string { return hex.EncodeToString(e[:]) }

// Reading is one counter of a sample. Handle is the kernel's number for the
// object: it is never used twice in a table, so epoch and handle identify the
// counter through any removal and return of a port.
type Reading struct {
	Key    Key
	Handle uint64
	Count  Count
	// Loaded is true of a counter that somebody loaded from a saved ruleset, so
	// that it began with an old value and not at 0.
	Loaded bool
}

// Sample is one reading of all counters in the table, whether a port in force
// has them or not.
type Sample struct {
	Time     time.Time // when the reading began, with its monotonic part; the reader's caller sets it
	Epoch    Epoch
	Readings []Reading // each key once, in no order to rely on
}

// Errors that a [Source] answers with, for errors.Is.
var (
	// ErrNoTable says that the table is not there: never installed, or gone.
	ErrNoTable = errors.New("the table ssmonitor does not exist")
	// ErrRestored says that the table was loaded from a saved ruleset: it
	// carries the mark, but no epoch. What its counters hold is no traffic.
	ErrRestored = errors.New("the table ssmonitor was loaded from a saved ruleset")
)

// Source is what the accounting is fed by: the kernel's table of counters.
type Source interface {
	// Read fills epoch and readings of the sample, reusing its slice. It fails with ErrNoTable or
	// ErrRestored where there is nothing to count.
	Read(sample *Sample) error
	// Verify compares the table with what it should be for the ports and
	// returns what is wrong, one finding an entry.
	Verify(ports Ports) (findings []string, err error)
	// Install makes the table right for the ports: what is there and right
	// stays, counters included.
	Install(ports Ports) error
	// Detach ends the counting of keys, the counters stay to be read.
	Detach(keys []Key) error
	// Delete removes the counters of detached keys.
	Delete(keys []Key) error
}
