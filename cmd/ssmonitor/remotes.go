package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"ssmonitor/internal/peer"
	"ssmonitor/internal/sockdiag"
)

// remotesOf returns a function that lists the addresses that are connected to a port
// now. It asks the kernel, and fails if the agent on the socket counts elsewhere.
func remotesOf(socket string) func(port uint16) ([]sockdiag.Remote, error) {
	return func(port uint16) (remotes []sockdiag.Remote, err error) {
		if err := sameNetwork(socket); err != nil {
			return nil, err
		}
		conn, err := sockdiag.Open()
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		return conn.Addresses(port)
	}
}

// sameNetwork fails unless the process that listens on the socket is in the network
// namespace of this one.
func sameNetwork(socket string) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	agent, err := peer.Credentials(conn)
	if err != nil {
		return fmt.Errorf("asking who listens on %s: %w", socket, err)
	}
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", agent.Pid))
	if err != nil {
		return err
	}
	ours, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return err
	}
	if !os.SameFile(theirs, ours) {
		return fmt.Errorf("the agent, process %[1]d, is in another network namespace: run top there (nsenter --net --target %[1]d)", agent.Pid)
	}
	return nil
}
