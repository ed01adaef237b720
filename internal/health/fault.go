package health

import (
	"errors"
	"log/slog"
)

// FaultChange compares the latest result of a repeated operation with the one
// before.
type FaultChange int

// The results of [Fault.Observe].
const (
	FaultUnchanged FaultChange = iota // works as before, or fails for the same reason as before
	FaultRaised                       // fails now, or fails for a new reason
	FaultCleared                      // works again
)

// Fault tracks a repeated operation that can fail for a long time, such as
// writing to a full disk. It reports when the outcome changes, so that its caller
// logs a fault once and not at every attempt. The zero value is ready to use and
// stands for an operation that works. Fault is not safe for concurrent use.
type Fault struct {
	cause    string // empty while the operation works
	failures int
}

// Observe records the result of the latest attempt and returns what it changes.
func (f *Fault) Observe(err error) FaultChange {
	if err == nil {
		if f.cause == "" {
			return FaultUnchanged
		}
		f.cause = ""
		return FaultCleared
	}
	before := f.cause
	f.cause = "failing: " + rootCause(err)
	if before == "" {
		f.failures = 0
	}
	f.failures++
	if f.cause == before {
		return FaultUnchanged
	}
	return FaultRaised
}

// Failing reports whether the latest attempt failed.
func (f *Fault) Failing() bool { return f.cause != "" }

// Log logs what the result of the latest attempt changes: an error once, and that the
// operation works again.
func (f *Fault) Log(log *slog.Logger, err error, broken, repaired string) {
	switch f.Observe(err) {
	case FaultRaised:
		log.Error(broken, "error", err)
	case FaultCleared:
		log.Info(repaired)
	}
}

// Failures returns how many attempts in a row have failed so far. After
// FaultCleared it is the length of the series that has just ended.
func (f *Fault) Failures() int { return f.failures }

// rootCause returns the text of the innermost error, or of the first one that
// wraps several. The outer errors may name something that differs with every
// attempt, such as a time.
func rootCause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
