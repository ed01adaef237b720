package nft

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Own says whether the agent's table shall belong to its socket alone, so that
// no other process can flush or change it (flags owner and persist).
type Own string

// OwnNo makes a plain table, OwnYes an owned one or fails with
// ErrOwnUnsupported, OwnAuto an owned one where the kernel can keep it.
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
	return "", fmt.Errorf("own %q is unknown: expected no, auto or yes", name)
}

// Options are what a table is opened with.
type Options struct {
	Hook Hook // where to count; empty: HookHost
	Own  Own  // empty: OwnNo
	// NetNS is a file descriptor of the network namespace; 0 is that of the
	// calling thread.
	NetNS int
}

// Table is our table in the kernel. It need not exist. Table is not safe for
// concurrent use.
type Table struct {
	conn    *conn
	options Options
	reader  reader

	// verified holds the generation and the keys that were last found to be
	// right: as long as neither changes there is nothing to check.
	verified struct {
		known      bool
		generation uint16
		ports      accounting.Ports
	}
	flags uint32 // to make the table with
}

var _ accounting.Source = (*Table)(nil)

var libraryTable = &nftables.Table{Family: nftables.TableFamilyINet, Name: TableName}

// Open opens the netlink socket and asks the kernel for the table, so that
// ErrPermission and ErrNoNFTables come at once.
func Open(options Options) (*Table, error) {
	if options.Hook == "" {
		options.Hook = HookHost
	}
	if options.Own == "" {
		options.Own = OwnNo
	}
	c, err := dial(options.NetNS)
	if err != nil {
		return nil, err
	}
	t := &Table{conn: c, options: options, reader: reader{conn: c}}
	if _, _, err = c.getTable(); err == nil && options.Own != OwnNo {
		err = t.probeOwner()
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return t, nil
}

// probeOwner finds out whether the kernel can keep an owned table, by making
// and deleting one in one transaction.
func (t *Table) probeOwner() error {
	const flags, probe = tableFlagOwner | tableFlagPersist, TableName + "-probe"
	b := newBatch()
	b.makeTable(probe, newEpoch(), flags)
	b.dropTable(probe)
	err := t.conn.commit(b)
	switch {
	case err == nil:
		t.flags = flags
	case errors.Is(err, ErrOwnUnsupported) && t.options.Own == OwnAuto:
		return nil
	}
	return err
}

// Misowned tells whether the table that there is has an owner, or had one, and
// shall not, or shall and has not: flags that can't be changed, so that the
// table has to be replaced.
func (t *Table) Misowned() (bool, error) {
	info, _, err := t.conn.getTable()
	if err != nil || info == nil || !info.marked {
		return false, err
	}
	return info.flags&tableFlagPersist != t.flags&tableFlagPersist, nil
}

// Close closes the socket. The table stays, an owned one as an orphan that the
// next agent adopts.
func (t *Table) Close() error { return t.conn.close() }

// Verify compares the table with what it should be for the ports and returns
// what is wrong, one finding an entry. It costs nothing while the ruleset's
// generation is the one of the last Verify that found nothing.
func (t *Table) Verify(ports accounting.Ports) ([]string, error) {
	if t.verified.known && t.reader.identified && t.verified.generation == t.reader.generation && slices.Equal(t.verified.ports, ports) {
		return nil, nil
	}
	t.verified.known = false
	keys := ports.Keys()
	var before []string
	for range attempts {
		found, err := t.conn.inspect()
		if err != nil {
			return nil, err
		}
		findings, _ := found.drift(t.options.Hook, keys)
		findings = append(findings, t.driftOfOwner(found)...)
		switch {
		case len(findings) == 0:
			t.verified.known, t.verified.generation, t.verified.ports = true, found.generation, slices.Clone(ports)
			return nil, nil
		case !found.hasEpoch(), slices.Equal(findings, before):
			// A dump can miss what is there while others change their tables,
			// flagged or not: only what two looks agree on is believed.
			return findings, nil
		}
		before = findings
	}
	return nil, fmt.Errorf("verifying the table: %w", ErrInterrupted)
}

// Install makes the table right for the ports: what is there and right stays,
// counts included. Drifted chains, maps and rules are put right in one
// transaction, so that no packet falls between. A table that was loaded from a
// file is replaced. Ports that the table has beyond the list stay.
func (t *Table) Install(ports accounting.Ports) error {
	keys := ports.Keys()
	err := t.retry(func() error {
		found, err := t.conn.inspect()
		if err != nil {
			return err
		}
		b := t.plan(found, keys)
		if b == nil {
			return nil
		}
		t.verified.known = false
		return t.conn.commit(b)
	})
	if err != nil {
		return err
	}
	t.reader.expect(keys)
	return nil
}

// plan returns the changes that make the table right, nil when it is.
func (t *Table) plan(found *inspection, keys []accounting.Key) *batch {
	b := newBatch()
	findings, structure := found.drift(t.options.Hook, keys)
	adopt := len(t.driftOfOwner(found)) > 0
	switch {
	case len(findings) == 0 && !adopt:
		return nil
	case !found.hasEpoch():
		if found.table != nil {
			b.dropTable(TableName)
		}
		b.makeTable(TableName, newEpoch(), t.flags)
		b.addCounters(keys)
		b.addMaps()
		b.addElements(keys)
		b.addChains(t.options.Hook)
		return b
	}
	if adopt {
		b.adoptTable()
	}
	b.addCounters(missing(keys, found.counters))
	if structure {
		b.dropStructure(found)
		b.addMaps()
		b.addElements(union(keys, found.attached))
		b.addChains(t.options.Hook)
		return b
	}
	for _, wrong := range found.wrong {
		b.dropElement(wrong.direction, wrong.key)
	}
	b.addElements(missing(keys, found.attached))
	return b
}

func missing(keys []accounting.Key, have map[accounting.Key]bool) []accounting.Key {
	var lost []accounting.Key
	for _, key := range keys {
		if !have[key] {
			lost = append(lost, key)
		}
	}
	return lost
}

// union returns keys and those that others had attached, sorted.
func union(keys []accounting.Key, attached map[accounting.Key]bool) []accounting.Key {
	all := slices.Clone(keys)
	for key := range attached {
		all = append(all, key)
	}
	slices.SortFunc(all, accounting.Key.Compare)
	return slices.Compact(all)
}

func newEpoch() (epoch accounting.Epoch) {
	_, _ = rand.Read(epoch[:]) // never fails: documented so since Go 1.24
	return epoch
}

// attempts is how often a change or a look is tried again when somebody else
// changed the ruleset in between.
const attempts = 5

// retry repeats a change that lost a race: what it was planned on was gone or
// there already when it came.
func (t *Table) retry(change func() error) (err error) {
	for range attempts {
		if err = change(); err == nil {
			return nil
		}
		raced := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY)
		if !raced {
			break
		}
	}
	return t.ownership(err)
}

// driftOfOwner finds an orphan: a table that outlived the socket that owned it.
func (t *Table) driftOfOwner(found *inspection) []string {
	if found.table == nil || t.flags == 0 || found.table.flags&tableFlagPersist == 0 || found.table.flags&tableFlagOwner != 0 {
		return nil
	}
	return []string{"the table has no owner"}
}

// ownership explains a refusal: the kernel says EPERM both to a process without
// the capability and to one that does not own the table.
func (t *Table) ownership(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	info, _, lookErr := t.conn.getTable()
	if lookErr == nil && info != nil && info.flags&tableFlagOwner != 0 {
		return fmt.Errorf("%w (%w)", ErrOwned, unix.EPERM)
	}
	return err
}
