// Package peer identifies the process at the other end of a connection over a unix
// socket.
package peer

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Credentials returns the process at the other end of a connection over a unix
// socket: SO_PEERCRED of unix(7). For a client they are those of the process that
// called listen(2), whoever has the socket now. The process is 0 if it is in another
// PID namespace. Users are numbered as in the caller's user namespace, so that the
// root of another one is not user 0.
func Credentials(conn net.Conn) (*syscall.Ucred, error) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("the peer of %T: %w", conn, errors.ErrUnsupported)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var credentials *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		credentials, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	return credentials, errors.Join(err, failed)
}
