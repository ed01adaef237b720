package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/term"
)

// step is a key that is pressed after a part of the session.
type step struct {
	at  float64
	key byte
}

// session is what a user might do: look at one client, sort by what comes in, and
// quit.
var session = []step{{0.4, '\r'}, {0.7, 'q'}, {0.75, 'i'}, {1, 'q'}}

// isTerminal reports whether the demo runs on a terminal that can show the live
// table.
func isTerminal() bool {
	name := os.Getenv("TERM")
	return name != "" && name != "dumb" && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}

// play runs a command on the terminal, plays the session, and ends the command if
// it still runs then.
func play(ctx context.Context, duration time.Duration, binary string, arguments ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := childOf(ctx, binary, arguments...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	announce(os.Stdout, command.Args...)
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting ssmonitor %s: %w", arguments[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	begun := time.Now()
	for _, step := range session {
		due := begun.Add(time.Duration(step.at * float64(duration)))
		select {
		case err := <-ended: // the user has quit
			return played(err)
		case <-time.After(time.Until(due)):
			press(step.key)
		}
	}
	const grace = 2 * time.Second
	select {
	case err := <-ended:
		return played(err)
	case <-time.After(grace): // keys can't be pressed here
		cancel()
		return played(<-ended)
	}
}

func played(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("ssmonitor top: %w", err)
}

// press puts a key into the input of the terminal, as if it had been pressed. If
// the kernel does not let it, the session goes on without.
func press(key byte) {
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, os.Stdin.Fd(), syscall.TIOCSTI, uintptr(unsafe.Pointer(&key)))
}
