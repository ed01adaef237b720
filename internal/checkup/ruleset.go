package checkup

import (
	"fmt"

	"ssmonitor/internal/finding"
)

// ruleset checks what the rules of others do to the packets that are counted. err
// is why the rules can't be read.
func (c *Check) ruleset(rules Rules, err error) []finding.Finding {
	if err != nil {
		return []finding.Finding{failure(finding.Ruleset, "", err, "try again")}
	}
	findings := rules.Published
	for _, chain := range rules.Mirrors {
		findings = append(findings, finding.Finding{ID: finding.MirroredPackets, Level: finding.Wrong, Subject: chain,
			Message: fmt.Sprintf("chain %s mirrors packets: the copies of what ports send are counted a second time", chain),
			Remedy:  "mirror at an interface instead (Linux 5.16), as in: table netdev x { chain y { type filter hook egress device eth0 priority 0; dup to eth1; } }"})
	}
	for _, chain := range rules.LaterDropChains {
		findings = append(findings, finding.Finding{ID: finding.LaterDropChain, Level: finding.Note, Subject: chain, Message: fmt.Sprintf("chain %s may drop packets after they were counted", chain),
			Remedy: "if those should not count, give the chain a lower priority than the chains of table " + tableName})
	}
	findings = append(findings, aboutCountingRules(rules.CountingRules)...)
	for _, err := range rules.Unread {
		findings = append(findings, finding.Finding{ID: finding.Ruleset, Level: finding.Unknown, Message: "a rule can't be checked: " + err.Error(), Remedy: "look at it: nft list ruleset"})
	}
	return findings
}

// aboutCountingRules returns a finding per chain with rules that only count, as
// the setup that ssmonitor replaces has them.
func aboutCountingRules(chains []string) (findings []finding.Finding) {
	rules := make(map[string]int)
	for _, chain := range chains {
		rules[chain]++
	}
	for _, chain := range chains {
		n := rules[chain]
		if n == 0 {
			continue // reported
		}
		rules[chain] = 0
		findings = append(findings, finding.Finding{ID: finding.CountingRules, Level: finding.Note, Subject: chain,
			Message: fmt.Sprintf("chain %s has %s: each costs time for every packet", chain, describeCountingRules(n)),
			Remedy:  "if they are left of a setup with iptables and a script: " + migration})
	}
	return findings
}

func describeCountingRules(n int) string {
	if n == 1 {
		return "1 rule that only counts a port"
	}
	return fmt.Sprintf("%d rules that only count a port", n)
}
