package nft

import (
	"fmt"
	"slices"
	"strings"

	"ssmonitor/accounting"
)

// Verify compares the table with what it should be for the ports and returns
// what is wrong, one finding per entry. It lists nothing as long as the ruleset's
// generation is the one of the last Verify that found nothing, or has been
// advanced by our own changes only. Call it after Read, which looks up the
// generation.
func (t *Table) Verify(ports accounting.Ports) ([]string, error) {
	v := &t.verified
	if v.known && v.generation == t.reader.generation && v.has(ports) {
		return nil, nil
	}
	v.known = false
	keys := ports.Keys()
	var before []string
	for range attempts {
		found, err := t.inspect()
		if err != nil {
			return nil, err
		}
		findings := t.drift(found, keys)
		if t.isOrphan(found.table) {
			findings = append(findings, "the table has no owner")
		}
		switch {
		case len(findings) == 0:
			v.set(found.generation, ports)
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

// drift compares the table with what it should be for keys, one finding per entry.
func (t *Table) drift(found *inspection, keys []accounting.Key) (findings []string) {
	switch {
	case !found.table.exists():
		return []string{"the table does not exist"}
	case !found.table.ours():
		return []string{"the table was loaded from a saved ruleset"}
	case found.dormant():
		findings = []string{"the table is dormant, so that it counts nothing"}
	}
	return slices.Concat(findings,
		found.driftOfChains(t.hook), found.driftOfMaps(t.hook), found.driftOfOthers(), found.driftOfPorts(keys), t.driftOfTargets(found, keys))
}

// dormant reports whether all chains of the table are unhooked.
func (found *inspection) dormant() bool { return found.table.flags&tableFlagDormant != 0 }

// driftOfOthers finds what only others can have added to the table.
func (found *inspection) driftOfOthers() (findings []string) {
	for _, name := range found.flowtables {
		findings = append(findings, fmt.Sprintf("flowtable %q does not belong here", name))
	}
	for _, object := range found.objects {
		findings = append(findings, fmt.Sprintf("object %q does not belong here", object.name))
	}
	return findings
}

func (found *inspection) driftOfChains(hook Hook) (findings []string) {
	for _, c := range hook.chains() {
		_, more := found.chainFault(c)
		findings = append(findings, more...)
	}
	for _, have := range found.foreignChains(hook) {
		findings = append(findings, fmt.Sprintf("chain %q does not belong here", have.name))
	}
	return findings
}

// chainFault is what is wrong with one of our chains.
type chainFault int

const (
	chainRight   chainFault = iota
	chainRules              // the chain is right, but not its rules
	chainWrong              // another type, hook, priority or policy
	chainMissing            // there is none of that name
)

func (found *inspection) chainFault(c chain) (fault chainFault, findings []string) {
	i := slices.IndexFunc(found.chains, func(have chainInfo) bool { return have.name == c.name })
	if i < 0 {
		return chainMissing, []string{fmt.Sprintf("chain %s is missing", c.name)}
	}
	have := found.chains[i]
	switch ours := slices.EqualFunc(have.rules, c.rules, func(have []byte, want rule) bool {
		return sameExpressions(have, want.expressions())
	}); {
	case ours:
	case len(have.rules) < len(c.rules):
		findings = append(findings, fmt.Sprintf("chain %s has lost %s", c.name, describeRules(len(c.rules)-len(have.rules))))
	case len(have.rules) > len(c.rules):
		findings = append(findings, fmt.Sprintf("chain %s has %s more than ours", c.name, describeRules(len(have.rules)-len(c.rules))))
	default:
		findings = append(findings, fmt.Sprintf("the rules of chain %s are not ours", c.name))
	}
	if len(findings) > 0 {
		fault = chainRules
	}
	if !have.base || have.typ != "filter" || have.hook != c.hook || have.priority != c.priority || have.policy != verdictAccept {
		fault = chainWrong
		findings = append(findings, fmt.Sprintf("chain %s has another type, hook, priority or policy", c.name))
	}
	return fault, findings
}

func describeRules(count int) string {
	if count == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", count)
}

// foreignChains returns the chains whose name is none of ours.
func (found *inspection) foreignChains(hook Hook) (foreign []chainInfo) {
	ours := hook.chains()
	if hook == hookUndecided {
		ours = hookPublished.chains()
	}
	for _, have := range found.chains {
		if !slices.ContainsFunc(ours, func(c chain) bool { return c.name == have.name }) {
			foreign = append(foreign, have)
		}
	}
	return foreign
}

func (found *inspection) driftOfMaps(hook Hook) (findings []string) {
	for _, m := range hook.maps() {
		switch {
		case found.hasMap(m):
		case slices.ContainsFunc(found.sets, func(s setInfo) bool { return s.name == m.name }):
			findings = append(findings, fmt.Sprintf("map %s is of another kind", m.name))
		default:
			findings = append(findings, fmt.Sprintf("map %s is missing", m.name))
		}
	}
	for _, set := range found.foreignSets(hook) {
		if !slices.ContainsFunc(hook.maps(), func(m counterMap) bool { return m.name == set.name }) {
			findings = append(findings, fmt.Sprintf("set %q does not belong here", set.name))
		}
	}
	return findings
}

// foreignSets returns the sets that are none of our maps, or of another kind.
func (found *inspection) foreignSets(hook Hook) (foreign []setInfo) {
	ours := hook.maps()
	if hook == hookUndecided {
		ours = hookPublished.maps()
	}
	for _, set := range found.sets {
		if !set.isAnonymous() && !slices.ContainsFunc(ours, func(m counterMap) bool { return m.matches(set) }) {
			foreign = append(foreign, set)
		}
	}
	return foreign
}

func (found *inspection) driftOfPorts(keys []accounting.Key) (findings []string) {
	var lost, detached []accounting.Key
	for _, key := range keys {
		switch {
		case found.attached.Get(key): // so that its counter exists too
		case found.counters.Get(key):
			detached = append(detached, key)
		default:
			lost = append(lost, key)
		}
	}
	if len(lost) > 0 {
		findings = append(findings, "missing: "+describeKeys(lost))
	}
	if len(detached) > 0 {
		findings = append(findings, "not counting: "+describeKeys(detached))
	}
	for _, wrong := range found.wrong {
		findings = append(findings, fmt.Sprintf("map %s leads %s to counter %q", wrong.home.name, wrong.describeKey(), wrong.counter))
	}
	return findings
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
