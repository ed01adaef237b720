// Package ticker ticks by a timer of the kernel.
package ticker

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Ticker ticks as a time.Ticker does, but by a timer of the kernel:
// timerfd_create(2). For each timer of its own, Go's runtime wakes a second
// thread several times, which costs more than the rest of a small tick.
type Ticker struct {
	// C receives a value per tick. A tick is dropped while another one waits.
	C <-chan struct{}

	timer *os.File
}

// New returns a ticker. The interval must be positive.
func New(interval time.Duration) (*Ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating a timer: %w", os.NewSyscallError("timerfd_create", err))
	}
	timer := os.NewFile(uintptr(fd), "timer")
	each := unix.NsecToTimespec(interval.Nanoseconds())
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: each, Value: each}, nil); err != nil {
		_ = timer.Close()
		return nil, fmt.Errorf("setting a timer to %s: %w", interval, os.NewSyscallError("timerfd_settime", err))
	}
	ticks := make(chan struct{}, 1)
	go func() {
		var expirations [8]byte
		for {
			if _, err := timer.Read(expirations[:]); err != nil {
				return // Stop has closed it
			}
			select {
			case ticks <- struct{}{}:
			default:
			}
		}
	}()
	return &Ticker{C: ticks, timer: timer}, nil
}

// Stop ends the ticks. It does not close C.
func (t *Ticker) Stop() { _ = t.timer.Close() }
