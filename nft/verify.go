package nft

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// drift compares the table with what it should be for keys and the hook, one
// finding an entry. structure says that chains, rules or maps are among them,
// and not ports alone.
func (found *inspection) drift(hook Hook, keys []accounting.Key) (findings []string, structure bool) {
	switch {
	case found.table == nil:
		return []string{"the table is gone"}, true
	case !found.hasEpoch():
		return []string{"the table was loaded from a saved ruleset"}, true
	}
	findings = append(found.driftOfChains(hook), found.driftOfMaps()...)
	structure = len(findings) > 0
	return append(findings, found.driftOfPorts(keys)...), structure
}

// hasEpoch tells whether there is a table that we made.
func (found *inspection) hasEpoch() bool {
	return found.table != nil && found.table.epoch != accounting.Epoch{}
}

func (found *inspection) driftOfChains(hook Hook) (findings []string) {
	want := hook.chains()
	for _, c := range want {
		i := slices.IndexFunc(found.chains, func(have chainInfo) bool { return have.name == c.name })
		if i < 0 {
			findings = append(findings, fmt.Sprintf("chain %s is missing", c.name))
			continue
		}
		have := found.chains[i]
		if !have.base || have.kind != "filter" || have.hook != c.hook || have.priority != c.priority || have.policy != accept {
			findings = append(findings, fmt.Sprintf("chain %s has another type, hook, priority or policy", c.name))
		}
		switch {
		case len(have.rules) == 0:
			findings = append(findings, fmt.Sprintf("chain %s has lost its rule", c.name))
		case len(have.rules) > 1:
			findings = append(findings, fmt.Sprintf("chain %s has %d rules instead of one", c.name, len(have.rules)))
		case !sameExpressions(have.rules[0], c.expressions()):
			findings = append(findings, fmt.Sprintf("the rule of chain %s is not ours", c.name))
		}
	}
	for _, have := range found.chains {
		if !slices.ContainsFunc(want[:], func(c chain) bool { return c.name == have.name }) {
			findings = append(findings, fmt.Sprintf("chain %s does not belong here", have.name))
		}
	}
	return findings
}

func (found *inspection) driftOfMaps() (findings []string) {
	for _, direction := range directions {
		name := mapName(direction)
		switch {
		case found.hasMap(direction):
		case slices.ContainsFunc(found.sets, func(s setInfo) bool { return s.name == name }):
			findings = append(findings, fmt.Sprintf("map %s is of another kind", name))
		default:
			findings = append(findings, fmt.Sprintf("map %s is missing", name))
		}
	}
	for _, set := range found.sets {
		if set.name != mapName(accounting.In) && set.name != mapName(accounting.Out) {
			findings = append(findings, fmt.Sprintf("set %s does not belong here", set.name))
		}
	}
	return findings
}

func (found *inspection) driftOfPorts(keys []accounting.Key) (findings []string) {
	var lost, detached []accounting.Key
	for _, key := range keys {
		if !found.counters[key] {
			lost = append(lost, key)
		} else if !found.attached[key] {
			detached = append(detached, key)
		}
	}
	if len(lost) > 0 {
		findings = append(findings, "missing: "+abbreviate("counter", lost))
	}
	if len(detached) > 0 {
		findings = append(findings, "not counting: "+abbreviate("counter", detached))
	}
	for _, wrong := range found.wrong {
		findings = append(findings, fmt.Sprintf("map %s leads a port to %s", mapName(wrong.direction), wrong.target))
	}
	return findings
}

// abbreviate names the first few keys and says how many there are.
func abbreviate(noun string, keys []accounting.Key) string {
	const most = 4
	var names []string
	for _, key := range keys[:min(most, len(keys))] {
		names = append(names, key.String())
	}
	if len(keys) == 1 {
		return noun + " " + names[0]
	}
	text := fmt.Sprintf("%d %ss, %s", len(keys), noun, strings.Join(names, ", "))
	if len(keys) > most {
		text += ", ..."
	}
	return text
}

// sameExpressions tells whether the expressions of have are those of want, in the
// same order and with the same attributes. Kernels may add attributes of their own,
// so more is no difference.
func sameExpressions(have, want []byte) bool {
	haveList, wantList := attributes{rest: have}, attributes{rest: want}
	for wantList.next() {
		if !haveList.next() || !sameExpression(haveList.value, wantList.value) {
			return false
		}
	}
	return !haveList.next()
}

// sameExpression compares two entries of NFTA_RULE_EXPRESSIONS.
func sameExpression(have, want []byte) bool {
	if !bytes.Equal(trimZero(find(have, unix.NFTA_EXPR_NAME)), trimZero(find(want, unix.NFTA_EXPR_NAME))) {
		return false
	}
	haveData := find(have, unix.NFTA_EXPR_DATA)
	wanted := attributes{rest: find(want, unix.NFTA_EXPR_DATA)}
	for wanted.next() {
		if !bytes.Equal(find(haveData, wanted.kind), wanted.value) {
			return false
		}
	}
	return true
}
