package nft

import (
	"fmt"
	"slices"
	"strings"

	"ssmonitor/accounting"
)

// Verify compares the table with what it should be for the ports and returns
// what is wrong, one finding per entry. It lists nothing as long as the table was right
// and the ruleset's generation shows that only we have changed anything since. It looks
// the generation up, unless a Read has just done that.
func (t *Table) Verify(ports accounting.Ports) ([]string, error) {
	if k := &t.known; k.counts(ports) {
		if !k.lookupUnused {
			if err := t.look(); err != nil {
				return nil, err
			}
		}
		k.lookupUsed()
		if k.verified {
			return nil, nil
		}
	}
	keys := ports.Keys()
	var before []string
	for range maxAttempts {
		found, err := t.inspect()
		if err != nil {
			return nil, err
		}
		findings := t.compare(found, keys).findings
		switch {
		case len(findings) == 0:
			t.known.foundRight(ports)
			return nil, nil
		case !found.table.hasEpoch(), slices.Equal(findings, before):
			// While others change their tables, a dump can lack entries even
			// without NLM_F_DUMP_INTR, so drift is reported only when two
			// inspections agree.
			return findings, nil
		}
		before = findings
	}
	return nil, fmt.Errorf("verifying the table: %w", errInterrupted)
}

// drift is how the table differs from what it should be: in words, and as the changes
// that repair it.
type drift struct {
	found    *inspection
	layout   *layout // what it should be
	findings []string
	changes  [phases][]func(*batch)
}

// phase is a part of a repair. Rules and elements are removed before what they refer to,
// and created after it.
type phase int

const (
	newCounters phase = iota
	oldRules
	oldElements
	oldSets
	oldChains
	oldOthers
	newMaps
	newElements
	newRules // and their chains
	phases
)

func (d *drift) reportf(format string, args ...any) {
	d.findings = append(d.findings, fmt.Sprintf(format, args...))
}

// change adds a change that repairs the table.
func (d *drift) change(p phase, apply func(*batch)) { d.changes[p] = append(d.changes[p], apply) }

// repair appends the changes to a batch.
func (d *drift) repair(b *batch) {
	for _, changes := range d.changes {
		for _, change := range changes {
			change(b)
		}
	}
}

// contentsDrift compares what is in a table with a layout and the keys that should be
// counted.
func contentsDrift(found *inspection, layout *layout, keys []accounting.Key) *drift {
	d := &drift{found: found, layout: layout}
	d.compareContents(keys)
	return d
}

// compare compares the table with what it should be for keys. What replaces a table that
// is not ours, wakes a dormant one or adopts an orphan is not among the changes.
func (t *Table) compare(found *inspection, keys []accounting.Key) *drift {
	d := &drift{found: found, layout: &t.layout}
	switch {
	case !found.table.exists():
		d.reportf("the table does not exist")
	case !found.table.hasEpoch():
		d.reportf("the table was loaded from a saved ruleset")
	default:
		if found.dormant() {
			d.reportf("the table is dormant, so that it counts nothing")
		}
		d.compareContents(keys)
	}
	if t.isOrphan(found.table) {
		d.reportf("the table has no owner")
	}
	return d
}

func (d *drift) compareContents(keys []accounting.Key) {
	d.compareChains()
	d.compareMaps()
	d.compareOthers()
	d.comparePorts(keys)
	// What leads from targets of other ports is left as it is.
	d.compareForwarding(targetCounters, d.layout.targetsOf(keys), d.layout.targets,
		"not counting at forward: ", "counting at forward what does not belong here: ")
	d.compareForwarding(hostAddresses, d.layout.addresses, d.layout.addresses,
		"the sets of this host's addresses lack ", "the sets of this host's addresses have too many: ")
}

// dormant reports whether all chains of the table are unhooked.
func (found *inspection) dormant() bool { return found.table.flags&tableFlagDormant != 0 }

func (d *drift) compareChains() {
	for _, c := range d.layout.chains {
		d.compareChain(c)
	}
	var foreign []chainInfo
	for _, have := range d.found.chains {
		if !d.layout.allowsChain(have.name) {
			d.reportf("chain %q does not belong here", have.name)
			foreign = append(foreign, have)
		}
	}
	d.change(oldRules, func(b *batch) { b.deleteOf(msgDelRule, foreign) })
	d.change(oldChains, func(b *batch) { b.deleteOf(msgDelChain, foreign) })
}

// compareChain compares one of our chains. A chain that only has wrong rules stays: its
// rules change at once for every packet. A packet that passes while a chain is
// replaced may meet neither chain, or both.
func (d *drift) compareChain(c chain) {
	i := slices.IndexFunc(d.found.chains, func(have chainInfo) bool { return have.name == c.name })
	if i < 0 {
		d.reportf("chain %s is missing", c.name)
		d.change(newRules, func(b *batch) {
			b.createChain(c)
			b.createRules(c)
		})
		return
	}
	have := d.found.chains[i]
	right := slices.EqualFunc(have.rules, c.rules, func(have []byte, want rule) bool {
		return sameExpressions(have, want.expressions())
	})
	switch more := len(have.rules) - len(c.rules); {
	case right:
	case more < 0:
		d.reportf("chain %s has lost %s", c.name, describeRules(-more))
	case more > 0:
		d.reportf("chain %s has %s more than ours", c.name, describeRules(more))
	default:
		d.reportf("the rules of chain %s are not ours", c.name)
	}
	other := !have.base || have.typ != "filter" || have.hook != c.hook || have.priority != c.priority || have.policy != verdictAccept
	if other {
		d.reportf("chain %s has another type, hook, priority or policy", c.name)
	}
	if right && !other && d.found.hasSets(c.uses) {
		return // otherwise its rules refer to a map that is replaced
	}
	d.change(oldRules, func(b *batch) { b.delete(msgDelRule, c.name) })
	d.change(newRules, func(b *batch) {
		if other {
			b.delete(msgDelChain, c.name)
			b.createChain(c)
		}
		b.createRules(c)
	})
}

func describeRules(count int) string {
	if count == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", count)
}

func (d *drift) compareMaps() {
	ours := make(map[string]bool)
	for _, m := range d.layout.sets {
		ours[m.name] = true
		if d.found.hasSet(m) {
			continue
		}
		if slices.ContainsFunc(d.found.sets, func(s setInfo) bool { return s.name == m.name }) {
			d.reportf("map %s is of another kind", m.name)
		} else {
			d.reportf("map %s is missing", m.name)
		}
		d.change(newMaps, func(b *batch) { b.createSet(m) })
	}
	for _, set := range d.found.sets {
		if d.layout.allowsSet(set) {
			continue
		}
		if !ours[set.name] {
			d.reportf("set %q does not belong here", set.name)
		}
		d.change(oldSets, func(b *batch) { b.delete(msgDelSet, set.name) })
	}
}

// compareOthers finds what only others can have added to the table.
func (d *drift) compareOthers() {
	for _, name := range d.found.flowtables {
		d.reportf("flowtable %q does not belong here", name)
	}
	for _, object := range d.found.objects {
		d.reportf("object %q does not belong here", object.name)
	}
	d.change(oldOthers, func(b *batch) { b.deleteOthers(d.found) })
}

func (d *drift) comparePorts(keys []accounting.Key) {
	_, unattached := partition(keys, &d.found.attached)
	detached, lost := partition(unattached, &d.found.counters)
	if len(lost) > 0 {
		d.reportf("missing: %s", describeKeys(lost))
	}
	if len(detached) > 0 {
		d.reportf("not counting: %s", describeKeys(detached))
	}
	d.change(newCounters, func(b *batch) { b.createCounters(lost) })
	d.change(newElements, func(b *batch) { b.createElements(unattached) })
	for _, wrong := range d.found.wrong {
		d.reportf("map %s leads %s to counter %q", wrong.home.name, wrong.describeKey(), wrong.counter)
		d.deleteElement(wrong.home, wrong.key, wrong.catchall)
	}
}

// compareForwarding compares the elements of a kind that were found with those that are
// wanted, and with all that may be there.
func (d *drift) compareForwarding(kind setKind, wanted, allowed []forwardElement, lack, surplus string) {
	var lacking, extra []forwardElement
	for _, f := range wanted {
		if !d.found.forwarded[f] {
			lacking = append(lacking, f)
		}
	}
	ours := make(map[forwardElement]bool, len(allowed))
	for _, f := range allowed {
		ours[f] = true
	}
	for f := range d.found.forwarded {
		if f.home.kind == kind && !ours[f] && !d.layout.undecided {
			extra = append(extra, f)
			d.deleteElement(f.home, f.key(), false)
		}
	}
	if len(lacking) > 0 {
		d.reportf("%s%s", lack, describeElements(lacking))
	}
	if len(extra) > 0 {
		d.reportf("%s%s", surplus, describeElements(extra))
	}
	d.change(newElements, func(b *batch) { b.createForwardElements(lacking) })
}

// deleteElement has an element removed, unless its map is.
func (d *drift) deleteElement(m tableSet, key []byte, catchall bool) {
	if slices.Contains(d.layout.sets, m) {
		d.change(oldElements, func(b *batch) { b.deleteElement(m, key, catchall) })
	}
}

func (w wrongElement) describeKey() string {
	if w.catchall {
		return "every other port"
	}
	if key, ok := parseElementKey(w.key, w.home.direction); ok {
		return fmt.Sprintf("%s port %d", key.Protocol, key.Port)
	}
	return fmt.Sprintf("the key %x", w.key)
}

// describeKeys names the first few counters and how many there are.
func describeKeys(keys []accounting.Key) string {
	const most = 4
	var names []string
	for _, key := range keys[:min(most, len(keys))] {
		names = append(names, key.String())
	}
	if len(keys) == 1 {
		return "counter " + names[0]
	}
	text := fmt.Sprintf("%d counters, %s", len(keys), strings.Join(names, ", "))
	if len(keys) > most {
		text += ", ..."
	}
	return text
}
