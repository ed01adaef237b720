package nft

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Errors for errors.Is. Those of a table that is not there or was loaded from a
// file are accounting.ErrNoTable and accounting.ErrRestored.
var (
	// ErrPermission says that the process lacks CAP_NET_ADMIN.
	ErrPermission = errors.New("CAP_NET_ADMIN is missing: run as root or under the unit ssmonitor.service")
	// ErrForeignTable says that somebody else made a table of our name.
	ErrForeignTable = errors.New("table inet " + TableName + " exists and is not ours; it is left alone: " +
		"look at it with `nft list table inet " + TableName + "` and rename or delete it")
	// ErrOwned says that another process owns the table (flag owner).
	ErrOwned = errors.New("table inet " + TableName + " is owned by another process, which alone can change it: stop the agent first")
	// ErrNoNFTables says that the kernel has no nf_tables.
	ErrNoNFTables = errors.New("the kernel has no nf_tables: CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET are needed")
	// ErrNoObjectReference says that the kernel can't map ports to counters.
	ErrNoObjectReference = errors.New("the kernel has no reference to named counters: CONFIG_NFT_OBJREF (module nft_objref) is needed, built in since Linux 6.2")
	// ErrOwnUnsupported says that the kernel can't keep an owned table.
	ErrOwnUnsupported = errors.New("the kernel can't keep an owned table: flags owner and persist need Linux 6.9")
	// ErrInterrupted says that a dump was cut short by changes of others each
	// time that it was tried.
	ErrInterrupted = errors.New("the ruleset changes faster than it can be read")
	// ErrMalformed says that an answer of the kernel could not be understood.
	ErrMalformed = errors.New("malformed answer of the kernel")
)

// OpError says what was being done, to which object, when the kernel refused.
// It unwraps to the kernel's error number and, where there is one, to the
// sentinel of this package that explains it.
type OpError struct {
	Op     string        // such as "adding counter tcp-20000-in"
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

// batchError is what the kernel refused of a batch, by the place of the message
// in it. Nothing of the batch was applied.
type batchError struct {
	first    *OpError
	failures []failure // in the order of the batch
}

type failure struct {
	index int // of the message, the batch's begin not counted
	err   syscall.Errno
}

func (e *batchError) Error() string {
	if more := len(e.failures) - 1; more > 0 {
		return fmt.Sprintf("%v (and %d more)", e.first, more)
	}
	return e.first.Error()
}

func (e *batchError) Unwrap() error { return e.first }

// any tells whether the kernel gave the number for one of the messages.
func (e *batchError) any(number syscall.Errno) bool {
	return slices.ContainsFunc(e.failures, func(f failure) bool { return f.err == number })
}

// without returns the keys but for those whose message, one a key, was refused
// with the number.
func (e *batchError) without(keys []accounting.Key, number syscall.Errno) []accounting.Key {
	kept := slices.Clone(keys)
	for _, f := range slices.Backward(e.failures) {
		if f.err == number && f.index >= 0 && f.index < len(kept) {
			kept = slices.Delete(kept, f.index, f.index+1)
		}
	}
	return kept
}

// add takes the refusals out of an answer to sent.
func (e *batchError) add(sent, answer []byte) error {
	for len(answer) > 0 {
		m, rest, err := nextMessage(answer)
		if err != nil {
			return err
		}
		answer = rest
		number := m.errorNumber()
		if m.kind() != unix.NLMSG_ERROR || number == 0 {
			continue
		}
		// The failed request's header follows the number.
		if len(m.payload()) < 4+unix.SizeofNlMsghdr {
			return fmt.Errorf("%w: an error of %d bytes", ErrMalformed, len(m.payload()))
		}
		e.failures = append(e.failures, failure{int(m.sequence()) - 2, number})
		if e.first == nil {
			e.first = newOpError(sent, m.sequence(), number)
		}
	}
	return nil
}

// newOpError explains the kernel's refusal of the message with the sequence.
func newOpError(sent []byte, sequence uint32, number unix.Errno) *OpError {
	e := &OpError{Op: "changing the ruleset", Err: number}
	var kind uint16
	for len(sent) > 0 {
		m, rest, err := nextMessage(sent)
		if err != nil {
			break
		}
		if m.sequence() == sequence {
			kind = m.kind()
			e.Op = describe(m)
			break
		}
		sent = rest
	}
	switch {
	case number == unix.EPERM:
		e.Reason = ErrPermission
	case number == unix.ENOENT && kind == newRule:
		e.Reason = ErrNoObjectReference
	case number == unix.EOPNOTSUPP && kind == newTable:
		e.Reason = ErrOwnUnsupported
	case number == unix.EOPNOTSUPP && kind == batchBegin:
		e.Reason = ErrNoNFTables
	}
	return e
}

// describe says in words what a message of a batch does.
func describe(m message) string {
	change, known := changes[m.kind()]
	if !known {
		return "changing the ruleset"
	}
	if m.kind() == deleteElement {
		return "taking " + describeElement(m) + " out of map " + textValue(find(m.payload(), change.name))
	}
	return change.words + textValue(find(m.payload(), change.name))
}

// changes are the messages of a batch: what each does, and the attribute with
// the name of what it does it to.
var changes = map[uint16]struct {
	words string
	name  uint16
}{
	newTable:      {"making table inet ", unix.NFTA_TABLE_NAME},
	deleteTable:   {"deleting table inet ", unix.NFTA_TABLE_NAME},
	newObject:     {"adding counter ", unix.NFTA_OBJ_NAME},
	deleteObject:  {"deleting counter ", unix.NFTA_OBJ_NAME},
	newSet:        {"adding map ", unix.NFTA_SET_NAME},
	deleteSet:     {"deleting set ", unix.NFTA_SET_NAME},
	newElement:    {"adding ports to map ", unix.NFTA_SET_ELEM_LIST_SET},
	deleteElement: {"", unix.NFTA_SET_ELEM_LIST_SET},
	newChain:      {"adding chain ", unix.NFTA_CHAIN_NAME},
	deleteChain:   {"deleting chain ", unix.NFTA_CHAIN_NAME},
	newRule:       {"adding the rule of chain ", unix.NFTA_RULE_CHAIN},
	deleteRule:    {"deleting the rules of chain ", unix.NFTA_RULE_CHAIN},
}

func describeElement(m message) string {
	element := find(find(m.payload(), unix.NFTA_SET_ELEM_LIST_ELEMENTS), unix.NFTA_LIST_ELEM)
	value := find(find(element, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
	key, ok := parseElementKey(value, accounting.In)
	if !ok {
		return "an element"
	}
	return fmt.Sprintf("%s port %d", key.Protocol, key.Port)
}

// readError explains a refusal to read.
func readError(op string, err error) error {
	if err == nil {
		return nil
	}
	number := unix.Errno(0)
	if !errors.As(err, &number) {
		return fmt.Errorf("%s: %w", op, err)
	}
	e := &OpError{Op: op, Err: number}
	switch number {
	case unix.EPERM:
		e.Reason = ErrPermission
	case unix.EINVAL, unix.EOPNOTSUPP:
		e.Reason = ErrNoNFTables
	}
	return e
}
