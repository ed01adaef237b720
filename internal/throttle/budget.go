// Package throttle keeps work that others can cause from taking the machine.
package throttle

import (
	"syscall"
	"time"
)

// Budget bounds the processor time that something takes in the long run: one part in
// Share. It is processor time, since work that waits for a busy processor must not delay
// the next one. The zero time is the start.
type Budget struct {
	Share int64
	// Burst is the processor time that may be taken beyond the share, so that a few
	// occasions at once are all used.
	Burst time.Duration

	debt time.Duration // beyond the share, at the last time
	last time.Time
}

// Spend does the work and books what this process has used meanwhile.
func (b *Budget) Spend(now time.Time, work func()) {
	b.debt, b.last = b.owed(now), now
	before := ProcessorTime()
	work()
	b.debt += ProcessorTime() - before
}

// Spent reports whether the budget allows nothing more for now.
func (b *Budget) Spent(now time.Time) bool { return b.owed(now) > b.Burst }

// owed returns how much of the debt is left.
func (b *Budget) owed(now time.Time) time.Duration {
	return max(0, b.debt-now.Sub(b.last)/time.Duration(b.Share))
}

// ProcessorTime returns how long this process has kept processors busy.
func ProcessorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
