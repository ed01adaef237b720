package checkup

import (
	"fmt"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/publishing"
	"ssmonitor/nft/survey"
)

// rules is what the rules of others do to what clients send to the ports.
type rules struct {
	survey   *survey.Survey
	decision publishing.Decision
	handedOn map[uint16]bool // ports for which a program may listen elsewhere, as in a container
	doubtful bool            // there may be more of them
}

// readRules reads the rules of others, and has the table's check expect the targets that
// they show.
func (c *checker) readRules() error {
	installed, err := c.table.Targets()
	if err != nil {
		return err
	}
	scene, err := c.Machine.Observe(c.Settings.Hook, installed)
	if err != nil {
		return err
	}
	decision, err := scene.Review(c.ports, c.named)
	if err != nil {
		return err
	}
	decision.KeepInstalled(installed) // the agent may not have removed the others yet
	c.table.SetForwarding(decision.Forwarding)
	c.rules = rules{scene.Rules, decision, scene.HandedOn(c.ports), scene.Rules.LegacyNAT || len(scene.Rules.Unread) > 0}
	for _, target := range decision.Targets {
		c.rules.handedOn[target.Port] = true
	}
	return nil
}

// checkRules checks what the rules of others do to the packets that are counted. err
// is why the rules can't be read.
func (c *checker) checkRules(err error) {
	if err != nil {
		c.add(c.Machine.failure(finding.Ruleset, "", err, "try again"))
		return
	}
	c.add(c.rules.decision.Findings...)
	for _, mirror := range c.rules.survey.Mirrors {
		if mirror.Sent || mirror.Forwarded && c.countsContainersAsSent() {
			chain := mirror.Place.String()
			c.add(finding.Finding{ID: finding.MirroredPackets, Level: finding.Wrong, Subject: chain,
				Message: fmt.Sprintf("chain %s mirrors packets: the copies of what ports send are counted a second time", chain),
				Remedy:  "mirror at an interface instead (Linux 5.16), as in: table netdev x { chain y { type filter hook egress device eth0 priority 0; dup to eth1; } }"})
		}
	}
	for _, place := range c.rules.survey.LaterDropChains {
		c.add(finding.Finding{ID: finding.LaterDropChain, Level: finding.Note, Subject: place.String(), Message: fmt.Sprintf("chain %s may drop packets after they were counted", place),
			Remedy: "if those should not count, give the chain a lower priority than the chains of table " + tableName})
	}
	c.checkCountingRules()
	for _, err := range c.rules.survey.Unread {
		c.add(finding.Finding{ID: finding.Ruleset, Level: finding.Unknown, Message: "a rule can't be checked: " + err.Error(), Remedy: "look at it: nft list ruleset"})
	}
}

// countsContainersAsSent reports whether a copy of what a container sends, which passes
// the output hook, counts there: whether the container's port is a counted one, too.
func (c *checker) countsContainersAsSent() bool {
	return slices.ContainsFunc(c.rules.decision.Targets, func(target accounting.Target) bool {
		port, _ := c.ports.Find(target.Address.Port())
		return port.Protocols.Has(target.Protocol)
	})
}

// checkCountingRules adds a finding per chain with rules that only count, as the setup
// that ssmonitor replaces has them.
func (c *checker) checkCountingRules() {
	var chains []survey.Place
	count := make(map[survey.Place]int)
	for _, chain := range c.rules.survey.CountingRules {
		if count[chain]++; count[chain] == 1 {
			chains = append(chains, chain)
		}
	}
	for _, chain := range chains {
		c.add(finding.Finding{ID: finding.CountingRules, Level: finding.Note, Subject: chain.String(),
			Message: fmt.Sprintf("chain %s has %s: each costs time for every packet", chain, describeCountingRules(count[chain])),
			Remedy:  "if they are left of a setup with iptables and a script: " + migration})
	}
}

func describeCountingRules(n int) string {
	if n == 1 {
		return "1 rule that only counts a port"
	}
	return fmt.Sprintf("%d rules that only count a port", n)
}
