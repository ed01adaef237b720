package accounting

import "errors"

// Errors of a [Source], for errors.Is.
var (
	// ErrNoTable says that the table does not exist.
	ErrNoTable = errors.New("the table ssmonitor does not exist")
	// ErrRestored says that the table was loaded from a saved ruleset: it has
	// our mark but no epoch. The values of its counters are not traffic.
	ErrRestored = errors.New("the table ssmonitor was loaded from a saved ruleset")
	// ErrChanged says that the table may not be what the last Verify or Install
	// left. Install finds out and does what is necessary.
	ErrChanged = errors.New("the ruleset has been changed by others")
)

// Source is the kernel's table of counters. Its methods are called by one
// goroutine at a time.
type Source interface {
	// Read sets the epoch and the readings of the sample and reuses its slice. It
	// fails with ErrNoTable or ErrRestored if there is no table that counts.
	Read(sample *Sample) error
	// Verify compares the table with what it should be for the ports and returns
	// what is wrong, one finding per entry. It is called after Read.
	Verify(ports Ports) (findings []string, err error)
	// Install creates or repairs the table so that it counts the ports. Whatever
	// is correct already is kept, counters included.
	Install(ports Ports) error
	// Attach begins to count more ports in a table that is as the last Verify or
	// Install left it, without looking at it. It fails with ErrChanged if it may
	// not be: call Install.
	Attach(ports Ports) error
	// Detach ends the counting of keys. Their counters are kept for a last
	// reading.
	Detach(keys []Key) error
	// Delete removes the counters of detached keys.
	Delete(keys []Key) error
}
