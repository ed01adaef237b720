package accounting

import "errors"

// Errors of a [Source], for errors.Is.
var (
	// ErrNoTable says that the table does not exist.
	ErrNoTable = errors.New("the table ssmonitor does not exist")
	// ErrRestored says that the table was loaded from a saved ruleset: it has
	// our mark but no epoch. What its counters hold is not traffic.
	ErrRestored = errors.New("the table ssmonitor was loaded from a saved ruleset")
)

// Source is what the accounting reads from: the kernel's table of counters. It
// is called by one goroutine at a time.
type Source interface {
	// Read fills epoch and readings of the sample and reuses its slice. It fails
	// with ErrNoTable or ErrRestored if there is nothing to count.
	Read(sample *Sample) error
	// Verify compares the table with what it should be for the ports and returns
	// what is wrong, one finding per entry. It is called after Read.
	Verify(ports Ports) (findings []string, err error)
	// Install makes the table right for the ports: what is there and right stays,
	// counters included.
	Install(ports Ports) error
	// Detach ends the counting of keys; the counters stay to be read.
	Detach(keys []Key) error
	// Delete removes the counters of detached keys.
	Delete(keys []Key) error
}
