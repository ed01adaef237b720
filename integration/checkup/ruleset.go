package checkup

import (
	"fmt"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
)

// markForwarded marks the ports whose packets the host forwards as published.
func (c *Check) markForwarded(ports accounting.Ports, rules Rules) accounting.Ports {
	marked := slices.Clone(ports)
	for i, port := range marked {
		marked[i].Published = c.Hook == "host" && slices.ContainsFunc(rules.DNATs, func(dnat DNAT) bool {
			return dnat.Covers(port) && dnat.forwards(rules.HostAddresses)
		})
	}
	return marked
}

// ruleset checks what the rules of others do to the packets that are counted. err
// is why the rules can't be read.
func (c *Check) ruleset(ports accounting.Ports, rules Rules, err error) []Finding {
	if err != nil {
		return []Finding{failure(Ruleset, "", err, "try again")}
	}
	findings, published := c.dnats(rules, ports)
	for _, offload := range rules.Offloads {
		findings = append(findings, aboutOffload(offload, published))
	}
	for _, chain := range rules.LaterDropChains {
		findings = append(findings, Finding{LaterDropChain, Note, chain, fmt.Sprintf("chain %s may drop packets after they were counted", chain),
			"if those should not count, give the chain a lower priority than the chains of table " + tableName})
	}
	findings = append(findings, aboutCountingRules(rules.CountingRules)...)
	for _, err := range rules.Unread {
		findings = append(findings, Finding{Ruleset, Unknown, "", "a rule can't be checked: " + err.Error(), "look at it: nft list ruleset"})
	}
	return findings
}

// dnats checks for ports whose packets get another destination before the hook
// host sees them. published reports whether there are any.
func (c *Check) dnats(rules Rules, ports accounting.Ports) (findings []Finding, published bool) {
	for _, dnat := range rules.DNATs {
		covered := slices.DeleteFunc(slices.Clone(ports), func(port accounting.Port) bool {
			return !dnat.Covers(port) || dnat.keeps(port, rules.HostAddresses)
		})
		if len(covered) == 0 {
			continue
		}
		published = true
		findings = append(findings, c.dnat(dnat, rules.HostAddresses, covered, ports.Published()))
	}
	return findings, published
}

// dnat returns the finding for a rule that covers ports. forwarded reports whether
// the table counts what the host forwards.
func (c *Check) dnat(dnat DNAT, hostAddresses []netip.Addr, covered []accounting.Port, forwarded bool) Finding {
	message := fmt.Sprintf("%s: redirected to %s by chain %s", DescribePorts(covered), dnat.destination(), dnat.Chain)
	switch forwards := dnat.forwards(hostAddresses); {
	case c.Hook == "container":
		return Finding{PortDNAT, OK, dnat.Chain, message + ", after being counted", ""}
	case forwards && forwarded:
		return Finding{PortDNAT, OK, dnat.Chain, message + ", and counted where the host forwards it", ""}
	case forwards:
		return Finding{PortDNAT, Wrong, dnat.Chain, message + ", past hook host, and not counted",
			"have setup find what is published: ssmonitor setup\nand have that done at every change: systemctl enable --now ssmonitor-setup.service"}
	}
	return Finding{PortDNAT, Wrong, dnat.Chain, message + ", before hook host can count",
		"count the port that it is redirected to, or count at the hook for containers:\nwrite \"hook: container\" into /etc/ssmonitor/config.yaml" +
			"\nthen ssmonitor setup && systemctl restart ssmonitor-setup ssmonitor"}
}

// keeps reports whether packets to the port still reach a program on this host
// at the same port.
func (d DNAT) keeps(port accounting.Port, hostAddresses []netip.Addr) bool {
	return d.isLocal(hostAddresses) && !d.Mapped && (d.Port == 0 || d.Port == port.Number)
}

// forwards reports whether the new destination is another host or a container.
func (d DNAT) forwards(hostAddresses []netip.Addr) bool { return d.Mapped || !d.isLocal(hostAddresses) }

func (d DNAT) isLocal(hostAddresses []netip.Addr) bool {
	return !d.Address.IsValid() || d.Address.IsLoopback() || slices.Contains(hostAddresses, d.Address)
}

// destination describes the new destination.
func (d DNAT) destination() string {
	switch {
	case d.Mapped:
		return "addresses in a map"
	case !d.Address.IsValid():
		return fmt.Sprintf("port %d", d.Port)
	case d.Port == 0:
		return d.Address.String()
	}
	return netip.AddrPortFrom(d.Address, d.Port).String()
}

// aboutOffload returns the finding for a flowtable. Only forwarded connections
// can be moved to one, and those of published ports are forwarded.
func aboutOffload(offload Offload, published bool) Finding {
	message := fmt.Sprintf("chain %s offloads connections to flowtable %s", offload.Chain, offload.Flowtable)
	if published {
		return Finding{FlowOffload, Wrong, offload.Chain, message + ": only the first packets of published ports are counted",
			"exclude those ports from the rule with flow add @" + offload.Flowtable}
	}
	return Finding{FlowOffload, OK, offload.Chain, message + ", but none of these ports is forwarded", ""}
}

// aboutCountingRules returns a finding per chain with rules that only count, as
// the setup that ssmonitor replaces has them.
func aboutCountingRules(chains []string) (findings []Finding) {
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
		findings = append(findings, Finding{CountingRules, Note, chain,
			fmt.Sprintf("chain %s has %s: each costs time for every packet", chain, describeCountingRules(n)),
			"if they are left of a setup with iptables and a script: " + migration})
	}
	return findings
}

func describeCountingRules(n int) string {
	if n == 1 {
		return "1 rule that only counts a port"
	}
	return fmt.Sprintf("%d rules that only count a port", n)
}
