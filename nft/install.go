package nft

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// maxAttempts bounds how often a change or a reading is tried while others keep
// changing the ruleset.
const maxAttempts = 5

// repairExtent is how much a repair replaces. If the kernel refuses one, the next larger
// one is tried.
type repairExtent int

const (
	repairParts     repairExtent = iota // only what is missing or wrong
	repairStructure                     // replace everything except our counters
	repairTable                         // replace the table: what its counters gained since they were read is lost
)

// Install creates or repairs the table so that it counts the ports. Whatever is
// correct already is kept, counts included. Drifted chains, maps and rules are
// replaced in one transaction, so that no packet goes uncounted in between. A
// table that was loaded from a file is replaced. Ports that are in the table but
// not in the list are kept. Of more new ports than fit into one transaction the first
// ones begin to count before the others.
func (t *Table) Install(ports accounting.Ports) error {
	err := t.install(ports)
	if err == nil {
		return nil
	}
	err = t.ownership(err)
	if refused, ok := errors.AsType[*batchError](err); ok && refused.refusedRuleWith(unix.ENOENT) {
		support, supportErr := t.Support()
		reason := errTooOld // another expression is missing, after every attempt
		if !support.ObjectMaps {
			reason = errNoObjectReference
		}
		if supportErr == nil { // otherwise the first error shows more
			return fmt.Errorf("%w: %w", reason, err)
		}
	}
	return err
}

func (t *Table) install(ports accounting.Ports) (err error) {
	extent := repairParts
	for range maxAttempts {
		found, inspectErr := t.inspect()
		if inspectErr != nil {
			return inspectErr
		}
		if err = t.apply(found, ports, extent); err == nil {
			return nil
		}
		var again bool
		if extent, again = t.extentAfter(err, found, extent); !again {
			return err
		}
	}
	return err
}

// extentAfter returns the extent with which to try again after a repair has failed.
func (t *Table) extentAfter(err error, found *inspection, tried repairExtent) (next repairExtent, again bool) {
	switch {
	case errors.Is(err, errTableChanged), errors.Is(err, errWoken), errors.Is(err, unix.ERESTART):
		return tried, true // nothing was refused
	case errors.Is(err, unix.EMSGSIZE) && tried < repairStructure:
		return repairStructure, true // which does not list what it removes from the maps
	case errors.Is(err, unix.EPERM), isShortage(err):
		return tried, false
	case t.raced(found, err):
		return tried, true
	}
	return min(tried+1, repairTable), true
}

// apply commits what the table lacks.
func (t *Table) apply(found *inspection, ports accounting.Ports, extent repairExtent) error {
	table, p := found.table, t.plan(found, ports.Keys(), extent)
	if p.step != nothing {
		if err := t.commitTo(table, p.batch); err != nil {
			return err
		}
	}
	switch p.step {
	case wake:
		return errWoken
	case create:
		t.known.created()
		if err := t.look(); err != nil {
			return err
		}
		if table = t.known.table; table.epoch != p.epoch {
			return errTableChanged
		}
	}
	t.known.counters.add(p.covered...)
	if err := t.attachParts(p.rest, func(b *batch) error { return t.commitTo(table, b) }); err != nil {
		return err
	}
	t.known.foundRight(ports)
	return nil
}

var (
	errTableChanged = errors.New("the table was replaced meanwhile")
	errWoken        = errors.New("the table was dormant")
)

// commitTo commits a batch that was planned for the table. The zero tableInfo
// stands for no table. It fails with errTableChanged if the table has been
// replaced, created or deleted since. A change of the ruleset between this check
// and the commit makes the kernel refuse the batch, and commitTo tries again.
func (t *Table) commitTo(table tableInfo, b *batch) (err error) {
	for range maxAttempts {
		if err := t.look(); err != nil {
			return err
		}
		if t.known.table.handle != table.handle {
			return errTableChanged
		}
		b.onlyAt(t.known.generation)
		if err = t.commit(b); !errors.Is(err, unix.ERESTART) {
			return err
		}
	}
	return err
}

// isShortage reports whether a change failed for a lack of memory or of room in
// the socket. To go further would need more of it.
func isShortage(err error) bool {
	return errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EMSGSIZE)
}

// raced reports whether a refusal may be due to others, who have changed the
// ruleset since it was inspected.
func (t *Table) raced(found *inspection, refusal error) bool {
	if !errors.Is(refusal, unix.ENOENT) && !errors.Is(refusal, unix.EEXIST) && !errors.Is(refusal, unix.EBUSY) {
		return false
	}
	return t.look() == nil && t.known.generation != found.generation
}

// plan is what to do about a table.
type plan struct {
	step          step
	batch         *batch           // the changes, unless the step is nothing
	epoch         accounting.Epoch // of the table that is created
	covered, rest []accounting.Key // the keys that are counted then, and those for which there is no room
}

type step int

const (
	nothing step = iota // is wrong
	wake                // the dormant table, and plan again
	create              // the table, in place of any existing one
	mend                // the table
)

// plan plans how to make the table count the keys.
func (t *Table) plan(found *inspection, keys []accounting.Key, extent repairExtent) plan {
	covered, rest := t.split(keys, &found.attached)
	d := t.compare(found, covered)
	switch {
	case len(d.findings) == 0:
		return plan{covered: keys}
	case !found.table.hasEpoch() || extent == repairTable:
		covered, rest = t.split(keys, new(accounting.KeyMap[bool]))
		epoch := newEpoch()
		return plan{create, t.replaceTable(found, epoch, covered), epoch, covered, rest}
	case found.dormant():
		// This takes a batch of its own: the kernel does not wake a table whose
		// chains change in the same batch.
		b := newBatch()
		b.setTableFlags(found.table.flags &^ tableFlagDormant)
		return plan{step: wake, batch: b}
	case extent == repairStructure:
		b := t.replaceStructure(found, union(covered, &found.attached))
		if !t.conn.fits(b) { // the new maps begin with a part of their elements
			covered, rest = t.split(union(keys, &found.attached), new(accounting.KeyMap[bool]))
			b = t.replaceStructure(found, covered)
		}
		return plan{step: mend, batch: b, covered: covered, rest: rest}
	}
	b := t.newRepair(found)
	d.repair(b)
	return plan{step: mend, batch: b, covered: covered, rest: rest}
}

// split returns the keys up to where a transaction has added as many as it can, and
// those behind that are not attached.
func (t *Table) split(keys []accounting.Key, attached *accounting.KeyMap[bool]) (part, rest []accounting.Key) {
	_, rest = partition(keys, attached)
	if rest = rest[min(t.additionsWithTargets(), len(rest)):]; len(rest) == 0 {
		return keys, nil
	}
	end, _ := slices.BinarySearchFunc(keys, rest[0], accounting.Key.Compare)
	return keys[:end], rest
}

// replaceTable returns the changes that create the table, in place of any existing
// one.
func (t *Table) replaceTable(found *inspection, epoch accounting.Epoch, keys []accounting.Key) *batch {
	b := newBatch()
	if found.table.exists() {
		b.deleteTable()
	}
	b.createTable(epoch, t.flags)
	contentsDrift(&inspection{}, &t.layout, keys).repair(b)
	return b
}

// replaceStructure returns the changes that replace everything except our counters.
func (t *Table) replaceStructure(found *inspection, keys []accounting.Key) *batch {
	d := contentsDrift(&inspection{counters: found.counters}, &t.layout, keys)
	d.change(oldRules, contentsDrift(found, &layout{}, nil).repair)
	b := t.newRepair(found)
	d.repair(b)
	return b
}

// newRepair returns a batch that adopts the table if it is an orphan.
func (t *Table) newRepair(found *inspection) *batch {
	b := newBatch()
	if t.isOrphan(found.table) {
		b.setTableFlags(tableFlagOwner | tableFlagPersist)
	}
	return b
}

// deleteOthers appends the removal of what only others can have put into the
// table besides chains and sets.
func (b *batch) deleteOthers(found *inspection) {
	for _, name := range found.flowtables {
		b.delete(msgDelFlowtable, name)
	}
	for _, object := range found.objects {
		b.deleteObject(object.name, object.typ)
	}
}

// deleteOf appends a removal for each of the chains, by name.
func (b *batch) deleteOf(typ uint16, chains []chainInfo) {
	for _, c := range chains {
		if !c.binding {
			b.delete(typ, c.name)
		}
	}
}

// partition returns the keys that are in the set, and the others.
func partition(keys []accounting.Key, set *accounting.KeyMap[bool]) (inside, outside []accounting.Key) {
	for _, key := range keys {
		if set.Get(key) {
			inside = append(inside, key)
		} else {
			outside = append(outside, key)
		}
	}
	return inside, outside
}

// union returns the keys together with those of the set, sorted.
func union(keys []accounting.Key, set *accounting.KeyMap[bool]) []accounting.Key {
	all := slices.Clone(keys)
	for key := range set.All() {
		all = append(all, key)
	}
	slices.SortFunc(all, accounting.Key.Compare)
	return slices.Compact(all)
}

func newEpoch() (epoch accounting.Epoch) {
	_, _ = rand.Read(epoch[:]) // never fails: documented since Go 1.24
	return epoch
}
