package output

import "errors"

// Change is what a new result of a repeated operation changes.
type Change int

// The changes that [Fault.Observe] tells.
const (
	Unchanged Change = iota // works as before, or fails as before
	Failed                  // fails from now on, or for another reason than before
	Recovered               // works again
)

// Fault follows an operation that is repeated, and that may fail for a long
// time, as writing to a full disk does: it tells when there is something to
// say, so that a fault is reported once and not at every try. The zero value
// is ready: the operation is taken to work.
type Fault struct {
	cause    string
	failures int
	failing  bool
}

// Observe takes the result of the latest try.
func (f *Fault) Observe(err error) Change {
	if err == nil {
		if !f.failing {
			return Unchanged
		}
		f.failing = false
		return Recovered
	}
	before, was := f.cause, f.failing
	f.cause, f.failing = cause(err), true
	if !was {
		f.failures = 0
	}
	f.failures++
	if was && before == f.cause {
		return Unchanged
	}
	return Failed
}

// Failures is how many tries in a row have failed; after Recovered, how many
// had.
func (f *Fault) Failures() int { return f.failures }

// cause is the innermost error's text. The outer ones may name something that
// differs at every try, such as a temporary file.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
