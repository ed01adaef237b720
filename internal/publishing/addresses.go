package publishing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// AddressWatch notices when addresses of this host, or default routes, are added or
// removed. What a rule is for depends on them, and no rule changes with them.
type AddressWatch struct{ socket int }

// WatchAddresses begins to watch the network namespace of the calling thread.
func WatchAddresses() (*AddressWatch, error) {
	const groups = 1<<(syscall.RTNLGRP_IPV4_IFADDR-1) | 1<<(syscall.RTNLGRP_IPV6_IFADDR-1) |
		1<<(syscall.RTNLGRP_IPV4_ROUTE-1) | 1<<(syscall.RTNLGRP_IPV6_ROUTE-1)
	socket, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", os.NewSyscallError("socket", err))
	}
	if err := syscall.Bind(socket, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: groups}); err != nil {
		_ = syscall.Close(socket)
		return nil, fmt.Errorf("listening for changes of addresses: %w", os.NewSyscallError("bind", err))
	}
	return &AddressWatch{socket}, nil
}

// Changed reports whether an address or a default route was added or removed since
// the last call. It does not wait. Without a watch it reports false.
func (w *AddressWatch) Changed() (changed bool) {
	if w == nil {
		return false
	}
	for {
		var begin [syscall.SizeofNlMsghdr + syscall.SizeofRtMsg]byte // of a message, whose rest the kernel drops
		_, err := syscall.Read(w.socket, begin[:])
		switch {
		case err == nil:
			changed = changed || !isOtherRoute(begin[:])
		case errors.Is(err, syscall.ENOBUFS): // more messages than the socket holds
			changed = true
		case !errors.Is(err, syscall.EINTR):
			return changed
		}
	}
}

// isOtherRoute reports whether a message is about a route that is no default route.
func isOtherRoute(message []byte) bool {
	typ, prefix := binary.NativeEndian.Uint16(message[4:]), message[syscall.SizeofNlMsghdr+1]
	return (typ == syscall.RTM_NEWROUTE || typ == syscall.RTM_DELROUTE) && prefix > longestDefault
}

// Close ends the watch, if there is one.
func (w *AddressWatch) Close() error {
	if w == nil {
		return nil
	}
	return os.NewSyscallError("close", syscall.Close(w.socket))
}
