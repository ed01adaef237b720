package nft

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Own selects whether the agent's table belongs to its socket alone, so that no
// other process can flush or change it (flags owner and persist).
type Own string

// OwnNo creates a plain table. OwnYes creates an owned one or fails with
// ErrOwnUnsupported. OwnAuto creates an owned one if the kernel can keep it.
const (
	OwnNo   Own = "no"
	OwnAuto Own = "auto"
	OwnYes  Own = "yes"
)

// ParseOwn returns the value with the name no, auto or yes.
func ParseOwn(name string) (Own, error) {
	switch own := Own(name); own {
	case OwnNo, OwnAuto, OwnYes:
		return own, nil
	}
	return "", &accounting.InvalidError{Name: "own", Text: name, Want: "no, auto or yes"}
}

// Options configure a Table.
type Options struct {
	Hook Hook // where to count; empty: HookHost
	Own  Own  // empty: OwnNo
	// Progress is called in each step of an inspection or a change, which take seconds
	// for thousands of ports. Nil: nobody wants to know.
	Progress func()
}

// Table is our table in the kernel. It need not exist. Table is not safe for
// concurrent use.
type Table struct {
	conn    *conn
	options Options
	flags   uint32 // to create the table with

	forwarding accounting.Forwarding
	layout     layout // what the table should have, by what is forwarded

	known  known
	reader reader

	additions int // the keys that a transaction can add; fewer in tests
}

var _ accounting.Table = (*Table)(nil)

// Open opens the netlink socket, in the network namespace of the calling thread, and
// looks for the table, so that ErrPermission
// and ErrNoNFTables are returned at once.
func Open(options Options) (*Table, error) {
	if options.Hook == "" {
		options.Hook = HookHost
	}
	if options.Own == "" {
		options.Own = OwnNo
	}
	c, err := dial()
	if err != nil {
		return nil, err
	}
	if options.Progress != nil {
		c.progress = options.Progress
	}
	t := &Table{conn: c, options: options, layout: options.Hook.layout(accounting.Forwarding{})}
	t.reader = reader{dumpRequest: counterRequest(), visit: t.addCounter, dumpLimit: dumpLimit, guessLimit: guessLimit}
	if t.additions, err = c.additionsThatFit(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	err = t.look()
	if refused, ok := errors.AsType[*OpError](err); ok && slices.Contains(unregistered, refused.Err) {
		refused.Reason = ErrNoNFTables
	}
	if err == nil && options.Own != OwnNo {
		t.flags, err = c.ownerFlags(options.Own)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return t, nil
}

// unregistered are the answers of a kernel in which no module is registered for the
// messages, or for family inet.
var unregistered = []syscall.Errno{unix.EINVAL, unix.EOPNOTSUPP, unix.EAFNOSUPPORT}

// ownerFlags returns the flags to create a table with.
func (c *conn) ownerFlags(own Own) (uint32, error) {
	owned, err := c.acceptsOwner()
	switch {
	case err != nil:
		return 0, err
	case owned:
		return tableFlagOwner | tableFlagPersist, nil
	case own == OwnYes:
		return 0, ErrOwnUnsupported
	}
	return 0, nil
}

// OwnerMismatch reports whether the existing table was created with an owner and
// should have none, or the reverse. The kernel does not change the flag persist of
// an existing table, so the table has to be replaced.
func (t *Table) OwnerMismatch() (bool, error) {
	if err := t.look(); err != nil || !t.known.table.hasOurComment {
		return false, err
	}
	return t.known.table.flags&tableFlagPersist != t.flags&tableFlagPersist, nil
}

// isOrphan reports whether a table outlived the socket that owned it.
func (t *Table) isOrphan(table tableInfo) bool {
	return t.flags != 0 && table.flags&tableFlagPersist != 0 && table.flags&tableFlagOwner == 0
}

// Close closes the socket. The table stays, an owned one as an orphan that the
// next agent adopts.
func (t *Table) Close() error { return t.conn.Close() }

// ownership explains a refusal: the kernel answers EPERM both to a process
// without the capability and to one that does not own the table.
func (t *Table) ownership(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if lookErr := t.look(); lookErr == nil && t.known.table.flags&tableFlagOwner != 0 {
		return fmt.Errorf("%w (%w)", ErrOwned, unix.EPERM)
	}
	return err
}
