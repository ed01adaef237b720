package accounting

import "errors"

// Errors of a [Table], for errors.Is.
var (
	// ErrNoTable says that the table does not exist.
	ErrNoTable = errors.New("the table ssmonitor does not exist")
	// ErrRestored says that the table was loaded from a saved ruleset: it has
	// our mark but no epoch. The values of its counters are not traffic.
	ErrRestored = errors.New("the table ssmonitor was loaded from a saved ruleset")
	// ErrChanged says that the table may no longer be as it was last verified or
	// installed: call Install.
	ErrChanged = errors.New("the table ssmonitor may have been changed")
)

// Table is the kernel's table of counters. Its methods are called by one
// goroutine at a time.
type Table interface {
	// Read sets the epoch and the readings of the sample and reuses its slice. It
	// fails with ErrNoTable or ErrRestored if there is no table that counts.
	Read(sample *Sample) error
	// Verify compares the table with what it should be for the ports and returns
	// what is wrong, one finding per entry. It is called after Read.
	Verify(ports Ports) (findings []string, err error)
	// Install creates or repairs the table so that it counts the ports. Whatever
	// is correct already is kept, counters included.
	Install(ports Ports) error
	// SetForwarding sets what Verify and Install expect to be counted at forward,
	// besides the ports. As long as it is not known they leave that as it is, which
	// is so at first.
	SetForwarding(forwarding Forwarding)
	// Targets returns the targets that the table has.
	Targets() ([]Target, error)
	// Attach begins to count more ports. It looks at nothing but the new ports,
	// and fails with ErrChanged, without a change, unless the table is certainly
	// as Verify or Install left it.
	Attach(ports Ports) error
	// Detach ends the counting of keys. Their counters are kept for a last
	// reading.
	Detach(keys []Key) error
	// Delete removes the counters of detached keys.
	Delete(keys []Key) error
}
