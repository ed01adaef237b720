package sqlitefile

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// ErrFault means that a page of a log's index could not be read. SQLite maps the
// index into memory, and the kernel sends SIGBUS for a page that somebody has cut
// off.
var ErrFault = errors.New("the index of its log was truncated by somebody else")

// ErrPanic means that SQLite panicked, as when it runs out of its memory.
var ErrPanic = errors.New("SQLite can't go on")

// Guard calls do, and returns ErrFault if it reads a page that does not exist, and
// an ErrPanic if it panics otherwise. What do was doing is then in an unknown state.
func Guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch reason := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = ErrFault
		default:
			err = fmt.Errorf("%w: %v", ErrPanic, reason)
		}
	}()
	return do()
}
