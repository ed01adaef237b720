package conntrack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Errors for errors.Is. A process without CAP_NET_ADMIN gets fs.ErrPermission.
var (
	// ErrUnsupported says that the kernel tracks connections but can't list them.
	ErrUnsupported = errors.New("the kernel can't list connection entries: CONFIG_NF_CT_NETLINK (module nf_conntrack_netlink) is needed")
	// ErrInterrupted says that the kernel's list was rebuilt during every attempt
	// to read it. Some flows may not have been visited.
	ErrInterrupted = errors.New("the connection entries change faster than they can be listed")
	// ErrMalformed says that an answer from the kernel could not be decoded.
	ErrMalformed = errors.New("malformed answer from the kernel")
)

const (
	// countFile has the number of entries in the namespace of the thread that reads
	// it. It is missing where the kernel tracks no connections, and hidden by
	// ProcSubset=pid of a systemd unit. The module's directory is there as well
	// where it is built into the kernel.
	countFile       = "/proc/sys/net/netfilter/nf_conntrack_count"
	moduleDirectory = "/sys/module/nf_conntrack"

	// readLength is the most that the kernel puts into one datagram of a dump
	// (netlink_recvmsg in net/netlink/af_netlink.c).
	readLength = 32 << 10
	// answerTimeout bounds the wait for an answer. The kernel answers within the
	// send, so only a broken kernel exceeds it.
	answerTimeout = 10 * time.Second
	// attempts is how often a dump is tried that was interrupted or whose filter
	// was refused.
	attempts = 3
)

// Flows passes every TCP and UDP flow that the kernel tracks to visit. An entry that
// begins or ends meanwhile may or may not be among them, and one can be visited more
// than once. Without connection tracking there are none.
func Flows(visit func(Flow)) error { return list(0, visit) }

// Redirected passes the flows to visit whose destination netfilter translates, as
// Flows does. The kernel selects them, which makes it cheap beside many others. It
// does not list what IPVS translates.
func Redirected(visit func(Flow)) error {
	return list(statusDestinationTranslated, onlyRedirected(visit))
}

// onlyRedirected returns visit for redirected flows: an older kernel lists others as
// well.
func onlyRedirected(visit func(Flow)) func(Flow) {
	return func(flow Flow) {
		if flow.DestinationTranslated() {
			visit(flow)
		}
	}
}

func list(status uint32, visit func(Flow)) error {
	if used, err := inUse(countFile, moduleDirectory); err != nil || !used {
		return err
	}
	buffer := make([]byte, readLength)
	err := retry(status, func(status uint32) error { return dump(buffer, request(status), visit) })
	if err != nil {
		return fmt.Errorf("listing the connection entries: %w", err)
	}
	return nil
}

// retry repeats a dump that was interrupted, and one whose filter was refused
// without the filter.
func retry(status uint32, dump func(status uint32) error) (err error) {
	for range attempts {
		err = dump(status)
		refused := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
		switch {
		case refused && status != 0:
			status = 0
		case refused, errors.Is(err, unix.EPROTONOSUPPORT):
			return fmt.Errorf("%w (%w)", ErrUnsupported, err)
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("CAP_NET_ADMIN is missing: %w", err)
		case !errors.Is(err, ErrInterrupted):
			return err
		}
	}
	return err
}

// inUse reports whether the namespace may have entries. A request for them would
// make the kernel load the modules for it.
func inUse(countFile, moduleDirectory string) (bool, error) {
	count, err := os.ReadFile(countFile)
	switch {
	case err == nil:
		return strings.TrimSpace(string(count)) != "0", nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("looking for connection entries: %w", err)
	}
	_, err = os.Stat(moduleDirectory)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err == nil, nil
	}
	return false, fmt.Errorf("looking for connection entries: %w", err)
}

// dump sends a request and passes the flows in the answer to visit. It has a socket
// of its own: one whose answer was not read to its end refuses the next request.
func dump(buffer, request []byte, visit func(Flow)) (err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("opening the netlink socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("preparing the netlink socket: %w", err)
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	for done := false; !done; {
		n, err := unix.Read(fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("the kernel has not answered for %s: %w", answerTimeout, err)
		case err != nil:
			return fmt.Errorf("reading the answer: %w", err)
		}
		if done, err = visitDump(buffer[:n], visit); err != nil {
			return err
		}
	}
	return nil
}
