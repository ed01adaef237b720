// Package presence lets only one agent run per network namespace, and lets other
// commands find it. The table of counters belongs to the namespace, so two
// agents would detach each other's ports, whatever their state directories.
//
// The agent listens on an abstract unix socket, which belongs to the network
// namespace too and is released by the kernel however the agent ends: unix(7).
// The credentials of the socket identify the agent's process, and whoever
// connects receives one line, the path of the list of ports that it follows.
package presence

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	address = "@ssmonitor"
	// patience bounds a conversation, which takes microseconds.
	patience = time.Second
	// attempts is how often a claim is tried if the holder of the address is no
	// agent: it may just have ended.
	attempts = 3
	// capNetAdmin is CAP_NET_ADMIN of include/uapi/linux/capability.h.
	capNetAdmin = 12
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
	listener *net.UnixListener // nil if a process that is no agent holds the address
	done     chan struct{}
}

// Take claims the network namespace for an agent that follows the list of ports
// at a path, empty if it follows none. It fails with a *RunningError.
//
// Any user can take the address first. A process that can't change the firewall
// is not an agent and is no obstacle.
func Take(list string) (*Claim, error) {
	if list != "" {
		absolute, err := filepath.Abs(list)
		if err != nil {
			return nil, fmt.Errorf("claiming the network namespace: %w", err)
		}
		list = absolute
	}
	for range attempts {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
		if err == nil {
			c := &Claim{listener: listener, done: make(chan struct{})}
			go c.serve(list)
			return c, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("claiming the network namespace: %w", err)
		}
		if err := Running(); err != nil {
			return nil, err
		}
		// The holder has ended meanwhile, or is no agent.
	}
	return &Claim{}, nil
}

// Running returns a *RunningError if an agent runs in the network namespace, nil if
// there is none, and another error if that can't be determined.
func Running() error {
	agent, err := Find()
	if err != nil {
		return err
	}
	if agent != nil && canChangeFirewall(agent.PID) {
		return &RunningError{PID: agent.PID}
	}
	return nil
}

// Close releases the claim.
func (c *Claim) Close() error {
	if c.listener == nil {
		return nil
	}
	err := c.listener.Close()
	<-c.done
	return err
}

func (c *Claim) serve(list string) {
	defer close(c.done)
	for {
		connection, err := c.listener.Accept()
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

// Find returns the agent that runs in this network namespace, nil if there is
// none. A process that does not accept connections is not an agent.
func Find() (*Agent, error) {
	connection, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: address, Net: "unix"})
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EAGAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for a running agent: %w", err)
	}
	defer func() { _ = connection.Close() }()
	pid, err := peer(connection)
	if err != nil {
		return nil, fmt.Errorf("looking for a running agent: %w", err)
	}
	_ = connection.SetDeadline(time.Now().Add(patience))
	list, _ := bufio.NewReaderSize(connection, 4096).ReadString('\n') // empty if the agent is stopping
	return &Agent{PID: pid, List: strings.TrimSuffix(list, "\n")}, nil
}

func peer(connection *net.UnixConn) (pid int, err error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		credentials, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	return int(credentials.Pid), nil
}

// canChangeFirewall reports whether a process has CAP_NET_ADMIN, by CapEff of
// proc_pid_status(5). It reports true if that can't be read.
func canChangeFirewall(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	_, rest, found := strings.Cut(string(status), "\nCapEff:\t")
	digits, _, _ := strings.Cut(rest, "\n")
	effective, err := strconv.ParseUint(digits, 16, 64)
	return !found || err != nil || effective&(1<<capNetAdmin) != 0
}
