package nft

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
)

// Errors for errors.Is. A missing table is reported as accounting.ErrNoTable, a
// table that was loaded from a file as accounting.ErrRestored.
var (
	// ErrPermission says that the process lacks CAP_NET_ADMIN.
	ErrPermission error = &reason{text: "CAP_NET_ADMIN is missing", remedy: "run as root or under the unit ssmonitor.service"}
	// ErrForeignTable says that somebody else created a table with our name.
	ErrForeignTable = errors.New("table inet " + TableName + " exists and is not ours; it is left alone: " +
		"look at it with `nft list table inet " + TableName + "` and rename or delete it")
	// ErrOwned says that another process owns the table (flag owner).
	ErrOwned = errors.New("table inet " + TableName + " is owned by another process, which alone can change it: stop the agent first")
	// ErrNoNFTables says that the kernel has no nf_tables.
	ErrNoNFTables error = &reason{text: "the kernel has no nf_tables", remedy: "load the module (modprobe nf_tables, on the host if this is a container), " +
		"or boot a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET; gVisor, OpenVZ and WSL 1 have none: run ssmonitor on their host"}
	// errTooOld says that the kernel's nf_tables lacks what counting needs.
	errTooOld error = &reason{text: "the kernel's nf_tables lacks what counting needs", remedy: "boot Linux 5.10 or later, with the modules of nf_tables (loaded by the host, if this is a container)"}
	// errNoObjectReference says that the kernel can't map ports to counters.
	errNoObjectReference error = &reason{text: "the kernel has no reference to named counters", remedy: "load the module (modprobe nft_objref, on the host if this is a container), " +
		"or boot a kernel with CONFIG_NFT_OBJREF, which is built in since Linux 6.2"}
	// ErrOwnUnsupported says that the kernel can't keep an owned table.
	ErrOwnUnsupported = errors.New("the kernel can't keep an owned table: flags owner and persist need Linux 6.9")
	// errInterrupted says that others changed the ruleset during every attempt
	// to dump it.
	errInterrupted = errors.New("the ruleset changes faster than it can be read")
)

// OpError is an operation that the kernel refused. It unwraps to the kernel's
// error number and, if there is one, to the sentinel of this package that
// explains it.
type OpError struct {
	Op     string        // operation and object, such as "creating counter tcp-20000-in"
	Err    syscall.Errno // the kernel's answer
	Reason error         // a sentinel of this package, or nil
}

// Error implements error.
func (e *OpError) Error() string {
	if e.Reason != nil {
		return fmt.Sprintf("%s: %v (%v)", e.Op, e.Reason, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Err)
}

// Unwrap returns the error number and the reason.
func (e *OpError) Unwrap() []error {
	if e.Reason != nil {
		return []error{e.Err, e.Reason}
	}
	return []error{e.Err}
}

// batchError lists the messages of a batch that the kernel refused. None of the
// batch was applied.
type batchError struct {
	first    *OpError
	failures []failure // in the order of the batch
	lost     bool      // there were more refusals than the socket could hold
}

type failure struct {
	index int // of the message, not counting the batch's begin
	typ   uint16
	errno syscall.Errno
}

func (e *batchError) orNil() error {
	switch {
	case len(e.failures) > 0:
		return e
	case e.lost:
		return &OpError{Op: "changing the ruleset", Err: unix.ENOBUFS}
	}
	return nil
}

func (e *batchError) Error() string {
	if more := len(e.failures) - 1; more > 0 {
		return fmt.Sprintf("%v (and %d more)", e.first, more)
	}
	return e.first.Error()
}

func (e *batchError) Unwrap() error { return e.first }

// refusedWith reports whether the kernel refused any message with errno.
func (e *batchError) refusedWith(errno syscall.Errno) bool {
	return e != nil && slices.ContainsFunc(e.failures, func(f failure) bool { return f.errno == errno })
}

// refusedRuleWith reports whether the kernel refused a rule with errno.
func (e *batchError) refusedRuleWith(errno syscall.Errno) bool {
	return slices.ContainsFunc(e.failures, func(f failure) bool { return f.typ == msgNewRule && f.errno == errno })
}

// accepted returns the items except those whose message, one per item, was refused
// with errno.
func accepted[T any](e *batchError, items []T, errno syscall.Errno) (kept []T) {
	refused := make(map[int]bool, len(e.failures))
	for _, f := range e.failures {
		refused[f.index] = f.errno == errno
	}
	for i, item := range items {
		if !refused[i] {
			kept = append(kept, item)
		}
	}
	return kept
}

// add records the refusals in an answer to a batch whose messages are numbered
// from first.
func (e *batchError) add(sent *batch, first uint32, answer []byte) error {
	for len(answer) > 0 {
		m, rest, err := netlink.Next(answer)
		if err != nil {
			return err
		}
		answer = rest
		errno := m.Errno()
		if m.Type() != unix.NLMSG_ERROR || errno == 0 {
			continue
		}
		// The header of the refused message follows the error number.
		if len(m.Body()) < 4+unix.SizeofNlMsghdr {
			return fmt.Errorf("%w: an error of %d bytes", netlink.ErrMalformed, len(m.Body()))
		}
		index := m.Sequence() - first
		if index >= uint32(sent.count) {
			continue // a late answer to an earlier batch
		}
		refused := netlink.Message(m.Body()[4:])
		e.failures = append(e.failures, failure{int(index) - 1, refused.Type(), errno})
		if e.first == nil {
			e.first = newOpError(sent.at(int(index)), errno)
		}
	}
	return nil
}

// newOpError explains the kernel's refusal of a message.
func newOpError(refused netlink.Message, errno unix.Errno) *OpError {
	e := &OpError{Op: describe(refused), Err: errno, Reason: explain(errno)}
	switch typ := refused.Type(); {
	case errno == unix.EOPNOTSUPP && typ == msgNewTable:
		e.Reason = ErrOwnUnsupported
	case errno == unix.EOPNOTSUPP && typ == msgBatchBegin:
		e.Reason = ErrNoNFTables
	case tooOld(typ, errno):
		e.Reason = errTooOld
	}
	return e
}

// tooOld reports whether a refusal to create something shows that the kernel does not
// know it: the message, a family or a type of set.
func tooOld(typ uint16, errno unix.Errno) bool {
	switch errno {
	case unix.EINVAL, unix.EOPNOTSUPP, unix.EAFNOSUPPORT:
		return slices.Contains([]uint16{msgNewObject, msgNewSet, msgNewElement, msgNewChain, msgNewRule}, typ)
	}
	return false
}

// describe returns in words what a message of a batch does.
func describe(m netlink.Message) string {
	kind, known := messageKinds[m.Type()]
	if !known {
		return "changing the ruleset"
	}
	name := str(find(payload(m), kind.nameAttribute))
	if m.Type() == msgDelElement {
		return "removing " + describeElement(m) + " from map " + name
	}
	return kind.words + name
}

func describeElement(m netlink.Message) string {
	element := find(find(payload(m), unix.NFTA_SET_ELEM_LIST_ELEMENTS), unix.NFTA_LIST_ELEM)
	value := find(find(element, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
	key, ok := parseElementKey(value, accounting.In)
	if !ok {
		return "an element"
	}
	return fmt.Sprintf("%s port %d", key.Protocol, key.Port)
}

// readError explains a refusal to read, or to open the socket.
func readError(op string, err error) error {
	if err == nil {
		return nil
	}
	errno := unix.Errno(0)
	if !errors.As(err, &errno) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &OpError{Op: op, Err: errno, Reason: explain(errno)}
}
