package conntrack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/netlink"
)

// ErrUnsupported says that the kernel tracks connections but can't list them. A process
// without CAP_NET_ADMIN gets fs.ErrPermission.
var ErrUnsupported = errors.New("the kernel can't list connection entries: CONFIG_NF_CT_NETLINK (module nf_conntrack_netlink) is needed")

const (
	// countFile has the number of entries in the namespace of the thread that reads
	// it. It is missing where the kernel tracks no connections, and hidden by
	// ProcSubset=pid of a systemd unit. The module's directory is there as well
	// where it is built into the kernel.
	countFile       = "/proc/sys/net/netfilter/nf_conntrack_count"
	moduleDirectory = "/sys/module/nf_conntrack"

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
	err := retry(status, func(status uint32) error { return dump(status, visit) })
	if err != nil {
		return fmt.Errorf("listing the connection entries: %w", err)
	}
	return nil
}

// dump passes the flows that have all bits of status to visit.
func dump(status uint32, visit func(Flow)) (err error) {
	conn, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return conn.Visit(msgGet, request(status), func(messageType uint16, message []byte) {
		if flow, ok := decodeFlow(messageType, message); ok {
			visit(flow)
		}
	})
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
		case !errors.Is(err, netlink.ErrInterrupted):
			return err
		}
	}
	return err
}

// inUse reports whether the namespace may have entries. A request for them would
// make the kernel load the modules for it.
func inUse(countFile, moduleDirectory string) (bool, error) {
	count, err := os.ReadFile(countFile)
	if err == nil {
		return strings.TrimSpace(string(count)) != "0", nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(moduleDirectory)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return err == nil, nil
		}
	}
	return false, fmt.Errorf("looking for connection entries: %w", err)
}
