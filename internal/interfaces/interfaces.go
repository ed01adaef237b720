// Package interfaces reads the names, addresses and default routes of this host's
// network interfaces, in the network namespace of the calling thread.
//
// It does without rtnetlink, which package net uses: a socket of that protocol can
// also change every route and interface, so the agent's seccomp filter refuses it.
// [UplinksOfAllTables] alone asks it, before that filter. The rest is to be had from two ioctls, which any socket answers, and from
// /proc/thread-self/net. /sys/class/net would be of no use for a namespace: it shows
// that of whoever mounted it.
package interfaces

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	netDirectory  = "/proc/thread-self/net/"
	addresses6    = netDirectory + "if_inet6" // missing without IPv6
	usualAddress4 = 64                        // how many IPv4 addresses are asked for at first
)

// Addresses returns the addresses of all interfaces, IPv4 first.
func Addresses() ([]netip.Addr, error) {
	found, err := addresses4(usualAddress4)
	if err != nil {
		return nil, fmt.Errorf("listing the IPv4 addresses: %w", err)
	}
	err = eachLine(addresses6, func(line []byte) error {
		var address [16]byte
		if n, err := hex.Decode(address[:], field(line, 0)); err != nil || n != len(address) {
			return malformed(addresses6, line)
		}
		found = append(found, netip.AddrFrom16(address))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the IPv6 addresses: %w", err)
	}
	return found, nil
}

// ifconf is struct ifconf of include/uapi/linux/if.h.
type ifconf struct {
	length   int32 // in bytes
	requests *unix.Ifreq
}

// addresses4 returns the IPv4 addresses. It asks for more and more of them, until
// some of the room is left: the kernel fills it and does not say what is missing.
func addresses4(room int) ([]netip.Addr, error) {
	requests := make([]unix.Ifreq, room)
	size := int(unsafe.Sizeof(requests[0]))
	list := ifconf{int32(room * size), &requests[0]}
	if err := ask(unix.SIOCGIFCONF, unsafe.Pointer(&list)); err != nil {
		return nil, err
	}
	count := int(list.length) / size
	if count >= room {
		return addresses4(2 * room)
	}
	var found []netip.Addr
	for i := range requests[:count] {
		address, err := requests[i].Inet4Addr()
		if err != nil {
			continue // the kernel lists only IPv4
		}
		if a, ok := netip.AddrFromSlice(address); ok {
			found = append(found, a)
		}
	}
	return found, nil
}

// Name returns the name of the interface with an index.
func Name(index uint32) (string, error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	request.SetUint32(index)
	if err := ask(unix.SIOCGIFNAME, unsafe.Pointer(request)); err != nil {
		return "", fmt.Errorf("looking up the name of interface %d: %w", index, err)
	}
	return request.Name(), nil
}

// ask makes a request of netdevice(7). A unix socket answers it as any other does,
// and is the one that the service's unit lets the agent open.
func ask(request uint, argument unsafe.Pointer) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument)); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
