package nft

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// attempts bounds how often a change or a reading is tried while others keep
// changing the ruleset.
const attempts = 5

// repair is the extent of a repair. If the kernel refuses one, the next larger
// one is tried.
type repair int

const (
	repairParts     repair = iota // only what is missing or wrong
	repairStructure               // replace everything except our counters
	repairTable                   // replace the table: what its counters gained since they were read is lost
)

// Install creates or repairs the table so that it counts the ports. Whatever is
// correct already is kept, counts included. Drifted chains, maps and rules are
// replaced in one transaction, so that no packet goes uncounted in between. A
// table that was loaded from a file is replaced. Ports that are in the table but
// not in the list are kept. Of more than 10,000 new ports the first ones begin to
// count before the others.
func (t *Table) Install(ports accounting.Ports) error {
	err := t.install(ports)
	if err == nil {
		return nil
	}
	t.verified.known = false
	err = t.ownership(err)
	var refused *batchError
	if errors.As(err, &refused) && refused.refusedRuleWith(unix.ENOENT) {
		support, supportErr := t.Support()
		switch {
		case supportErr != nil: // the first error shows more
		case !support.ObjectMaps:
			return fmt.Errorf("%w: %w", ErrNoObjectReference, err)
		default: // another expression, after every attempt
			return fmt.Errorf("%w: %w", ErrTooOld, err)
		}
	}
	return err
}

func (t *Table) install(ports accounting.Ports) (err error) {
	extent := repairParts
	for range attempts {
		found, inspectErr := t.inspect()
		if inspectErr != nil {
			return inspectErr
		}
		switch err = t.apply(found, ports, extent); {
		case err == nil && !found.dormant():
			return nil
		case err == nil: // the table is awake now; the next inspection shows what else is wrong
		case errors.Is(err, errTableChanged), errors.Is(err, unix.ERESTART): // nothing was refused: look again
		case errors.Is(err, unix.EPERM):
			return err
		case extent < repairStructure && errors.Is(err, unix.EMSGSIZE):
			extent = repairStructure // which does not list what it removes from the maps
		case isShortage(err):
			return err
		case extent < repairTable && !t.raced(found, err):
			extent++
		}
	}
	return err
}

// apply commits what the table lacks. If that succeeds, the table is verified as
// of the inspection and our own commits since.
func (t *Table) apply(found *inspection, ports accounting.Ports, extent repair) error {
	keys := ports.Keys()
	replace := !found.table.ours() || extent == repairTable
	attached := &found.attached
	if replace {
		attached = new(accounting.KeyMap[bool])
	}
	part, rest := t.split(keys, attached)
	b := t.plan(found, part, extent)
	if b != nil && extent == repairStructure && !t.conn.fits(b) {
		// The new maps begin with a part of their elements.
		all := union(keys, attached)
		*attached = accounting.KeyMap[bool]{}
		part, rest = t.split(all, attached)
		b = t.plan(found, part, extent)
	}
	t.verified.set(found.generation, ports)
	if b != nil {
		generation, err := t.commitTo(found.table, b)
		if err != nil || found.dormant() {
			return err
		}
		table := found.table
		if replace {
			if table, err = t.identifyNew(generation, b.epoch); err != nil {
				return err
			}
		}
		if err := t.attachRest(table, rest); err != nil {
			return err
		}
	}
	t.reader.expect(keys)
	return nil
}

// split returns the keys up to where a transaction has added as many as it can, and
// those behind that are not attached.
func (t *Table) split(keys []accounting.Key, attached *accounting.KeyMap[bool]) (part, rest []accounting.Key) {
	rest = missing(keys, attached)
	if rest = rest[min(t.partLength(), len(rest)):]; len(rest) == 0 {
		return keys, nil
	}
	end, _ := slices.BinarySearchFunc(keys, rest[0], accounting.Key.Compare)
	return keys[:end], rest
}

// identifyNew looks up the table that a batch has created at the generation. It
// is verified whatever others did before.
func (t *Table) identifyNew(generation uint32, epoch accounting.Epoch) (tableInfo, error) {
	t.verified.generation = generation
	t.verified.advance()
	_, table, err := t.conn.getTable()
	if err == nil && table.epoch != epoch {
		err = errTableChanged
	}
	t.reader.begin(table)
	return table, err
}

// attachRest adds the keys for which one transaction has no room.
func (t *Table) attachRest(table tableInfo, rest []accounting.Key) error {
	for part := range slices.Chunk(rest, t.partLength()) {
		b := newAttachment(part)
		b.createTargets(t.wanted(part))
		if _, err := t.commitTo(table, b); err != nil {
			return err
		}
	}
	return nil
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
	generation, _, err := t.conn.getTable()
	return err == nil && generation != found.generation
}

var errTableChanged = errors.New("the table was replaced meanwhile")

// commitTo commits a batch that was planned for the table. The zero tableInfo
// stands for no table. It fails with errTableChanged if the table has been
// replaced, created or deleted since. A change of the ruleset between this check
// and the commit makes the kernel refuse the batch, and commitTo tries again. It
// returns the generation at which the batch was applied.
func (t *Table) commitTo(table tableInfo, b *batch) (generation uint32, err error) {
	for range attempts {
		generation, now, lookErr := t.conn.getTable()
		if lookErr != nil {
			return 0, lookErr
		}
		if now.handle != table.handle || now.marked != table.marked || now.epoch != table.epoch {
			return 0, errTableChanged
		}
		b.onlyAt(generation)
		if err = t.commit(b); !errors.Is(err, unix.ERESTART) {
			return generation, err
		}
	}
	return 0, err
}

// plan returns the changes that repair the table, or nil if nothing is wrong.
func (t *Table) plan(found *inspection, keys []accounting.Key, extent repair) *batch {
	findings := t.drift(found, keys)
	orphan := t.isOrphan(found.table)
	switch {
	case len(findings) == 0 && !orphan:
		return nil
	case !found.table.ours() || extent == repairTable:
		return t.planTable(found, keys)
	case found.dormant():
		// This takes a batch of its own: the kernel does not wake a table whose
		// chains change in the same batch.
		b := newBatch()
		b.setTableFlags(found.table.flags &^ tableFlagDormant)
		return b
	}
	b := newBatch()
	if orphan {
		b.setTableFlags(tableFlagOwner | tableFlagPersist)
	}
	b.createCounters(missing(keys, &found.counters))
	if extent == repairStructure {
		b.deleteStructure(found)
		all := union(keys, &found.attached)
		b.createStructure(t.hook, all, t.wanted(all), t.addresses())
		return b
	}
	t.repairParts(b, found, keys)
	return b
}

// planTable returns the changes that create the table, in place of any existing
// one.
func (t *Table) planTable(found *inspection, keys []accounting.Key) *batch {
	b := newBatch()
	if found.table.exists() {
		b.deleteTable(TableName)
	}
	b.createTable(TableName, newEpoch(), t.flags)
	b.createCounters(keys)
	b.createStructure(t.hook, keys, t.wanted(keys), t.addresses())
	return b
}

// repairParts appends the removal of what others put into the table, and the
// repair of what is wrong of ours. A chain that only has wrong rules stays: its
// rules change at once for every packet. A packet that passes while a chain is
// replaced may meet neither chain, or both.
func (t *Table) repairParts(b *batch, found *inspection, keys []accounting.Key) {
	chains, maps := t.hook.chains(), t.hook.maps()
	faults := make([]chainFault, len(chains))
	for i, c := range chains {
		faults[i], _ = found.chainFault(c)
		if faults[i] == chainRight && !found.hasMaps(c.uses) {
			faults[i] = chainRules // its rules refer to a wrong map
		}
		if faults[i] == chainRules || faults[i] == chainWrong {
			b.flushChain(c.name)
		}
	}
	foreign := found.foreignChains(t.hook)
	b.flushChains(foreign)
	for _, wrong := range found.wrong {
		if slices.Contains(maps, wrong.home) {
			b.deleteElement(wrong.home, wrong.key, wrong.catchall)
		}
	}
	for _, extra := range t.superfluous(found) {
		if slices.Contains(maps, extra.home()) {
			b.deleteElement(extra.home(), extra.key(), false)
		}
	}
	missingAddresses, extraAddresses := t.changedAddresses(found)
	for _, address := range extraAddresses {
		if slices.Contains(maps, hostSetOf(address)) {
			b.deleteElement(hostSetOf(address), address.AsSlice(), false)
		}
	}
	for _, set := range found.foreignSets(t.hook) {
		b.deleteSet(set.name)
	}
	b.deleteChains(foreign)
	b.deleteOthers(found)
	for _, m := range maps {
		if !found.hasMap(m) {
			b.createMap(m)
		}
	}
	b.createElements(missing(keys, &found.attached))
	b.createTargets(found.lacking(t.wanted(keys)))
	b.createAddresses(missingAddresses)
	for i, c := range chains {
		if faults[i] == chainWrong {
			b.deleteChain(c.name)
		}
		if faults[i] == chainWrong || faults[i] == chainMissing {
			b.createChain(c)
		}
		if faults[i] != chainRight {
			b.createRules(c)
		}
	}
}

// deleteStructure appends the removal of everything in the table except our
// counters. Rules and sets are removed first, since they refer to the rest.
func (b *batch) deleteStructure(found *inspection) {
	b.flushChains(found.chains)
	for _, set := range found.sets {
		if !set.isAnonymous() {
			b.deleteSet(set.name)
		}
	}
	b.deleteChains(found.chains)
	b.deleteOthers(found)
}

// deleteOthers appends the removal of what only others can have put into the
// table besides chains and sets.
func (b *batch) deleteOthers(found *inspection) {
	for _, name := range found.flowtables {
		b.deleteFlowtable(name)
	}
	for _, object := range found.objects {
		b.deleteObject(object.name, object.typ)
	}
}

func (b *batch) flushChains(chains []chainInfo) {
	for _, c := range chains {
		if !c.binding {
			b.flushChain(c.name)
		}
	}
}

func (b *batch) deleteChains(chains []chainInfo) {
	for _, c := range chains {
		if !c.binding {
			b.deleteChain(c.name)
		}
	}
}

func missing(keys []accounting.Key, have *accounting.KeyMap[bool]) []accounting.Key {
	var lost []accounting.Key
	for _, key := range keys {
		if !have.Get(key) {
			lost = append(lost, key)
		}
	}
	return lost
}

// union returns keys together with those that are attached already, sorted.
func union(keys []accounting.Key, attached *accounting.KeyMap[bool]) []accounting.Key {
	for _, key := range keys {
		*attached.At(key) = true
	}
	return among(everyKey(), attached)
}

// everyKey returns the keys of all counters that can exist, sorted.
func everyKey() []accounting.Key {
	ports := make(accounting.Ports, 1<<16)
	for i := range ports {
		ports[i] = accounting.Port{Number: uint16(i), Protocols: accounting.TCPAndUDP}
	}
	return ports.Keys()
}

func newEpoch() (epoch accounting.Epoch) {
	_, _ = rand.Read(epoch[:]) // never fails: documented since Go 1.24
	return epoch
}
