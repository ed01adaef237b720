package nft

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// reason explains a refusal of the kernel, and what to do about it. Several may explain
// one sentinel, in words for different places.
type reason struct {
	text, remedy string
	of           error // the sentinel, if it is not the reason itself
}

// Error implements error.
func (r *reason) Error() string { return r.text + ": " + r.remedy }

// Unwrap returns the sentinel that the reason explains.
func (r *reason) Unwrap() error { return r.of }

// Explain takes what to do out of an error of this package, for whoever shows that
// apart. The remedy is empty if it is to be root, or not known.
func Explain(err error) (remedy string, cause error) {
	r, ok := errors.AsType[*reason](err)
	if !ok {
		return "", err
	}
	remedy, cause = r.remedy, errors.New(r.text)
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		cause = fmt.Errorf("%s (%w)", r.text, errno)
	}
	if errors.Is(ErrPermission, r) {
		remedy = ""
	}
	return remedy, cause
}

var (
	errNeverGranted = &reason{"CAP_NET_ADMIN is missing, and root can't have it here",
		"as root, start the container with --cap-add NET_ADMIN (Docker, Podman; capabilities.add in Kubernetes), or, in a unit, allow it in CapabilityBoundingSet=", ErrPermission}
	errDropped = &reason{"CAP_NET_ADMIN is missing, though this is root",
		"start it without dropping the capability", ErrPermission}
	errOthersNetwork = &reason{"CAP_NET_ADMIN does not extend to this network, which belongs to another user namespace",
		"run as root of the host, or start the rootless container with a network of its own (not --network host) and --cap-add NET_ADMIN", ErrPermission}
	errForbidden = &reason{"a security module or a seccomp filter forbids it, though CAP_NET_ADMIN is granted",
		"allow netlink sockets for netfilter: the host's audit log names what refuses them", ErrPermission}
	errNoNetlink = &reason{"there are no netlink sockets here",
		"in a unit, add AF_NETLINK to RestrictAddressFamilies=; in a sandbox that is its own kernel, run ssmonitor on the host", ErrNoNFTables}
)

// permission returns why this thread may not do what needs CAP_NET_ADMIN.
func permission() error {
	switch granted, grantable := capability(); {
	case granted && networkIsOthers():
		return errOthersNetwork
	case granted:
		return errForbidden
	case !grantable:
		return errNeverGranted
	case os.Geteuid() == 0:
		return errDropped
	}
	return ErrPermission
}

// capability reports whether the thread has CAP_NET_ADMIN, and whether a program that
// it starts as root could.
func capability() (granted, grantable bool) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // 32 capabilities each
	if err := unix.Capget(&header, &sets[0]); err == nil {
		granted = sets[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
	}
	bounding, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_NET_ADMIN, 0, 0, 0)
	return granted, err != nil || bounding == 1
}

// networkIsOthers reports whether the thread's network namespace belongs to a user
// namespace outside of its own: the kernel shows that one to nobody.
func networkIsOthers() bool {
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return false
	}
	defer func() { _ = namespace.Close() }()
	owner, err := unix.IoctlRetInt(int(namespace.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return errors.Is(err, unix.EPERM)
	}
	_ = unix.Close(owner)
	return false
}

// explain returns the sentinel that explains an error number, for whatever was
// requested, or nil.
func explain(errno syscall.Errno) error {
	switch errno {
	case unix.EPERM, unix.EACCES:
		return permission()
	case unix.EPROTONOSUPPORT:
		return ErrNoNFTables
	}
	return nil
}
