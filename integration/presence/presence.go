// Package presence lets only one agent run per network namespace, and lets other
// commands find it. The table of counters belongs to the namespace, so two
// agents would detach each other's ports, whatever their state directories.
//
// The agent listens on an abstract unix socket, which belongs to the network
// namespace too and is released by the kernel however the agent ends: unix(7).
// The credentials of the socket identify the agent's process, and whoever
// connects receives one line, the path of the list of ports that it follows.
//
// Any user can take the address first. So a holder is an agent only if it belongs to
// root, to the caller, or to the owner of a state directory; any other one is no
// obstacle.
package presence

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ssmonitor/internal/peer"
)

const (
	address = "@ssmonitor"
	// patience bounds a conversation, which takes microseconds.
	patience = time.Second
	// pause is the time between two attempts to claim an address whose holder does
	// not listen: another agent is about to, or it has just ended. No event reports
	// either.
	pause = 10 * time.Millisecond
	// retryInterval is how often a claim is tried again while a stranger holds the
	// address. No event says that the address is free.
	retryInterval = 10 * time.Second
)

// RunningError reports that another agent runs in the network namespace.
type RunningError struct {
	PID int // 0 if the process is in another PID namespace
}

func (e *RunningError) Error() string {
	process := fmt.Sprintf("process %d", e.PID)
	if e.PID == 0 {
		process = "in another PID namespace"
	}
	return fmt.Sprintf("another ssmonitor, %s, counts in this network namespace: stop it first", process)
}

// Claim is the right to change the table. It is released by Close, or when the
// process ends.
type Claim struct {
	// Stranger holds the address, so that nobody finds this agent: nil if none does.
	Stranger *StrangerError

	stop context.CancelFunc
	done chan struct{}
}

// StrangerError reports that a process that is no agent holds the agent's address.
type StrangerError struct {
	Known    bool // whether the process is: one that does not listen is not
	PID, UID int  // PID is 0 if the process is in another PID namespace
}

func (e *StrangerError) Error() string {
	process := "a process that accepts no connection"
	if e.Known {
		process = fmt.Sprintf("process %d of user %d", e.PID, e.UID)
	}
	return process + " has taken the abstract address " + address + ", by which commands and other agents find this one: end that process"
}

// Take claims the network namespace for an agent that follows the list of ports
// at a path, empty if it follows none. The owners of the state directories may have
// agents. It fails with a *RunningError. While a stranger holds the address, the claim
// is tried again.
func Take(list string, states ...string) (*Claim, error) {
	if list != "" {
		absolute, err := filepath.Abs(list)
		if err != nil {
			return nil, fmt.Errorf("claiming the network namespace: %w", err)
		}
		list = absolute
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		listener, err := listen()
		if err != nil {
			return nil, fmt.Errorf("claiming the network namespace: %w", err)
		}
		if listener != nil {
			return newClaim(func(ctx context.Context) { serve(ctx, listener, list) }), nil
		}
		found, err := find(states)
		if err != nil {
			return nil, err
		}
		if found.agent != nil {
			return nil, &RunningError{PID: found.agent.PID}
		}
		if found.stranger == nil && time.Now().Before(deadline) {
			continue
		}
		c := newClaim(func(ctx context.Context) { retry(ctx, list) })
		c.Stranger = cmp.Or(found.stranger, &StrangerError{})
		return c, nil
	}
}

// newClaim holds a claim until it is closed.
func newClaim(hold func(context.Context)) *Claim {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		hold(ctx)
	}()
	return &Claim{stop: stop, done: done}
}

// listen returns nil if the address is taken.
func listen() (*net.UnixListener, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, nil
	}
	return listener, err
}

// retry serves as soon as the address is free.
func retry(ctx context.Context, list string) {
	ticks := time.NewTicker(retryInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if listener, _ := listen(); listener != nil {
			serve(ctx, listener, list)
			return
		}
	}
}

// RefuseRunning returns a *RunningError if an agent runs in the network namespace, nil if
// there is none, and another error if that can't be determined.
func RefuseRunning(states ...string) error {
	agent, err := Find(states...)
	if err != nil {
		return err
	}
	if agent != nil {
		return &RunningError{PID: agent.PID}
	}
	return nil
}

// Close releases the claim.
func (c *Claim) Close() {
	c.stop()
	<-c.done
}

// serve answers who asks until ctx ends.
func serve(ctx context.Context, listener *net.UnixListener, list string) {
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a connection that was aborted, or too many open files
		}
		_ = connection.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprintln(connection, list) // the client may have hung up
		_ = connection.Close()
	}
}

// Agent is a running agent.
type Agent struct {
	PID  int
	List string // path of the list of ports that it follows; empty: none
}

// Find returns the agent that runs in this network namespace and belongs to root, to
// the caller, or to the owner of a state directory; nil if there is none. A process
// that does not accept connections is not an agent.
func Find(states ...string) (*Agent, error) {
	found, err := find(states)
	return found.agent, err
}

// holder is who listens at the address: nobody, an agent, or a stranger.
type holder struct {
	agent    *Agent
	stranger *StrangerError
}

func find(states []string) (holder, error) {
	connection, err := dial()
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EAGAIN) {
		return holder{}, nil
	}
	if err != nil {
		return holder{}, fmt.Errorf("looking for a running agent: %w", err)
	}
	defer func() { _ = connection.Close() }()
	credentials, err := peer.Credentials(connection)
	if err != nil {
		return holder{}, fmt.Errorf("looking for a running agent: %w", err)
	}
	if !trusted(credentials.Uid, states) {
		return holder{stranger: &StrangerError{Known: true, PID: int(credentials.Pid), UID: int(credentials.Uid)}}, nil
	}
	_ = connection.SetDeadline(time.Now().Add(patience))
	list, _ := bufio.NewReaderSize(connection, 4096).ReadString('\n') // empty if the agent is stopping
	return holder{agent: &Agent{PID: int(credentials.Pid), List: strings.TrimSuffix(list, "\n")}}, nil
}

// dial connects to the holder of the address. It waits for room in the backlog, which
// others may have filled, and fails with EAGAIN if the holder accepts nobody.
func dial() (net.Conn, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), address)
	defer func() { _ = file.Close() }() // net.FileConn has its own
	limit := syscall.NsecToTimeval(int64(patience))
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	// With a time limit, any signal interrupts it: signal(7).
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: address})
	}
	if err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(file)
}

// trusted reports whether a user may have an agent: root, the caller, or the owner
// of a state directory. What a process can do is no evidence: /proc may hide it,
// and a user namespace of its own shows capabilities that are worth nothing here.
func trusted(user uint32, states []string) bool {
	return user == 0 || int(user) == os.Geteuid() ||
		slices.ContainsFunc(states, func(state string) bool { return owns(user, state) })
}

func owns(user uint32, path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && owner.Uid == user
}
