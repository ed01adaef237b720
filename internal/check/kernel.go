package check

import (
	"errors"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/nft"
)

// kernel passes to checkup what nft and publishing find.
type kernel struct {
	table *nft.Table
	hook  nft.Hook
}

var _ checkup.Kernel = (*kernel)(nil)

// Support implements checkup.Kernel.
func (k *kernel) Support() (checkup.Support, error) {
	support, err := k.table.Support()
	return checkup.Support{CounterMaps: support.ObjectMaps, OwnedTables: support.OwnedTables}, err
}

// Verify implements checkup.Kernel.
func (k *kernel) Verify(ports accounting.Ports) ([]string, error) {
	differences, err := k.table.Verify(ports)
	if errors.Is(err, nft.ErrForeignTable) {
		return nil, checkup.ErrForeignTable
	}
	return differences, err
}

// Rules implements checkup.Kernel. From then on Verify expects the targets that it
// finds.
func (k *kernel) Rules(ports accounting.Ports, named []accounting.Target) (rules checkup.Rules, err error) {
	installed, err := k.table.Targets()
	if err != nil {
		return rules, err
	}
	scene, err := publishing.Observe(k.hook, installed)
	if err != nil {
		return rules, err
	}
	scene.ReadOnly = true
	decision, err := scene.Decide(ports, named)
	if err != nil {
		return rules, err
	}
	decision.Targets = withRest(decision.Targets, installed)
	k.table.SetForwarding(decision.Forwarding)
	rules.Published, rules.Unread = decision.Findings, scene.Rules.Unread
	rules.HandedOn, rules.Doubtful = scene.HandedOn(ports), len(scene.Rules.LegacyNAT)+len(scene.Rules.Unread) > 0
	for _, target := range decision.Targets {
		rules.HandedOn[target.Port] = true
	}
	for _, mirror := range scene.Rules.Mirrors {
		if mirror.Sent || mirror.Forwarded && countedAsSent(ports, decision.Targets) {
			rules.Mirrors = append(rules.Mirrors, mirror.Place.String())
		}
	}
	for _, place := range scene.Rules.LaterDropChains {
		rules.LaterDropChains = append(rules.LaterDropChains, place.String())
	}
	for _, rule := range scene.Rules.CountingRules {
		rules.CountingRules = append(rules.CountingRules, rule.Place.String())
	}
	return rules, nil
}

// listeningPorts returns the ports at which programs receive, in the network namespace of
// the calling thread.
func listeningPorts(protocol accounting.Protocol) (list []checkup.Listener, err error) {
	conn, err := sockdiag.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	found, err := conn.Listening(protocol)
	for _, listener := range found {
		list = append(list, checkup.Listener(listener))
	}
	return list, err
}

// countedAsSent reports whether a copy of what a container sends, which passes the
// output hook, counts there: whether the container's port is a counted one, too.
func countedAsSent(ports accounting.Ports, targets []accounting.Target) bool {
	return slices.ContainsFunc(targets, func(target accounting.Target) bool {
		port, _ := ports.Find(target.Address.Port())
		return port.Protocols.Has(target.Protocol)
	})
}

// withRest adds the installed targets that were not decided about: the agent may not
// have removed them yet.
func withRest(decided, installed []accounting.Target) []accounting.Target {
	type place struct {
		protocol accounting.Protocol
		address  netip.AddrPort
	}
	taken := make(map[place]bool)
	for _, target := range decided {
		taken[place{target.Protocol, target.Address}] = true
	}
	all := slices.Clone(decided)
	for _, target := range installed {
		if !taken[place{target.Protocol, target.Address}] {
			all = append(all, target)
		}
	}
	return all
}
