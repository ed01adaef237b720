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
		if !k.current {
			if err := t.look(); err != nil {
				return nil, err
			}
		}
		k.current = false
		if k.verified {
			return nil, nil
		}
	}
	keys := ports.Keys()
	var before []string
	for range attempts {
		found, err := t.inspect()
		if err != nil {
			return nil, err
		}
		findings := t.compare(found, keys).findings
		switch {
		case len(findings) == 0:
			t.known.verify(ports)
			return nil, nil
		case !found.table.ours(), slices.Equal(findings, before):
			// While others change their tables, a dump can lack entries even
			// without NLM_F_DUMP_INTR, so drift is reported only when two
			// inspections agree.
			return findings, nil
		}
		before = findings
	}
	return nil, fmt.Errorf("verifying the table: %w", ErrInterrupted)
}

// drift is how the table differs from what it should be: in words, and as the changes
// that repair it.
type drift struct {
	findings []string
	repairs  [phases][]func(*batch)
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

func (d *drift) repair(p phase, change func(*batch)) { d.repairs[p] = append(d.repairs[p], change) }

// compare compares the table with what it should be for keys. What replaces a table that
// is not ours, wakes a dormant one or adopts an orphan is not among the repairs.
func (t *Table) compare(found *inspection, keys []accounting.Key) *drift {
	d := &drift{}
	switch {
	case !found.table.exists():
		d.reportf("the table does not exist")
	case !found.table.ours():
		d.reportf("the table was loaded from a saved ruleset")
	default:
		if found.dormant() {
			d.reportf("the table is dormant, so that it counts nothing")
		}
		d.compareChains(found, &t.layout)
		d.compareMaps(found, &t.layout)
		d.compareOthers(found)
		d.comparePorts(found, keys)
		d.compareWrongElements(found, &t.layout)
		t.compareForwarding(d, found, keys)
	}
	if t.isOrphan(found.table) {
		d.reportf("the table has no owner")
	}
	return d
}

// dormant reports whether all chains of the table are unhooked.
func (found *inspection) dormant() bool { return found.table.flags&tableFlagDormant != 0 }

func (d *drift) compareChains(found *inspection, l *layout) {
	for _, c := range l.chains {
		d.compareChain(found, c)
	}
	var foreign []chainInfo
	for _, have := range found.chains {
		if !l.allowsChain(have.name) {
			d.reportf("chain %q does not belong here", have.name)
			foreign = append(foreign, have)
		}
	}
	d.repair(oldRules, func(b *batch) { b.flushChains(foreign) })
	d.repair(oldChains, func(b *batch) { b.deleteChains(foreign) })
}

// compareChain compares one of our chains. A chain that only has wrong rules stays: its
// rules change at once for every packet. A packet that passes while a chain is
// replaced may meet neither chain, or both.
func (d *drift) compareChain(found *inspection, c chain) {
	i := slices.IndexFunc(found.chains, func(have chainInfo) bool { return have.name == c.name })
	if i < 0 {
		d.reportf("chain %s is missing", c.name)
		d.repair(newRules, func(b *batch) {
			b.createChain(c)
			b.createRules(c)
		})
		return
	}
	have := found.chains[i]
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
	if right && !other && found.hasMaps(c.uses) {
		return // otherwise its rules refer to a map that is replaced
	}
	d.repair(oldRules, func(b *batch) { b.flushChain(c.name) })
	d.repair(newRules, func(b *batch) {
		if other {
			b.deleteChain(c.name)
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

func (d *drift) compareMaps(found *inspection, l *layout) {
	ours := make(map[string]bool)
	for _, m := range l.maps {
		ours[m.name] = true
		if found.hasMap(m) {
			continue
		}
		if slices.ContainsFunc(found.sets, func(s setInfo) bool { return s.name == m.name }) {
			d.reportf("map %s is of another kind", m.name)
		} else {
			d.reportf("map %s is missing", m.name)
		}
		d.repair(newMaps, func(b *batch) { b.createMap(m) })
	}
	for _, set := range found.sets {
		if l.allowsSet(set) {
			continue
		}
		if !ours[set.name] {
			d.reportf("set %q does not belong here", set.name)
		}
		d.repair(oldSets, func(b *batch) { b.deleteSet(set.name) })
	}
}

// compareOthers finds what only others can have added to the table.
func (d *drift) compareOthers(found *inspection) {
	for _, name := range found.flowtables {
		d.reportf("flowtable %q does not belong here", name)
	}
	for _, object := range found.objects {
		d.reportf("object %q does not belong here", object.name)
	}
	d.repair(oldOthers, func(b *batch) { b.deleteOthers(found) })
}

func (d *drift) comparePorts(found *inspection, keys []accounting.Key) {
	unattached := without(keys, &found.attached)
	lost := without(unattached, &found.counters)
	if len(lost) > 0 {
		d.reportf("missing: %s", describeKeys(lost))
	}
	if detached := among(unattached, &found.counters); len(detached) > 0 {
		d.reportf("not counting: %s", describeKeys(detached))
	}
	d.repair(newCounters, func(b *batch) { b.createCounters(lost) })
	d.repair(newElements, func(b *batch) { b.createElements(unattached) })
}

func (d *drift) compareWrongElements(found *inspection, l *layout) {
	for _, wrong := range found.wrong {
		d.reportf("map %s leads %s to counter %q", wrong.home.name, wrong.describeKey(), wrong.counter)
		if slices.Contains(l.maps, wrong.home) { // otherwise the map is deleted
			d.repair(oldElements, func(b *batch) { b.deleteElement(wrong.home, wrong.key, wrong.catchall) })
		}
	}
}

// compareForwarding compares what is counted at forward. What leads from targets of
// other ports than those of keys is left as it is.
func (t *Table) compareForwarding(d *drift, found *inspection, keys []accounting.Key) {
	extraTargets, extraAddresses := t.superfluous(found)
	for _, part := range []struct {
		wanted, extra         []forwardElement
		lackText, surplusText string
	}{
		{t.targetsOf(keys), extraTargets, "not counting at forward: %s", "counting at forward what does not belong here: %s"},
		{t.hostAddresses(), extraAddresses, "the sets of this host's addresses lack %s", "the sets of this host's addresses have too many: %s"},
	} {
		lacking := slices.DeleteFunc(part.wanted, func(f forwardElement) bool { return found.forwarded[f] })
		if len(lacking) > 0 {
			d.reportf(part.lackText, describeElements(lacking))
		}
		if len(part.extra) > 0 {
			d.reportf(part.surplusText, describeElements(part.extra))
		}
		for _, f := range part.extra {
			if slices.Contains(t.layout.maps, f.home) { // otherwise the map is deleted
				d.repair(oldElements, func(b *batch) { b.deleteElement(f.home, f.key(), false) })
			}
		}
		d.repair(newElements, func(b *batch) { b.createForwardElements(lacking) })
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
