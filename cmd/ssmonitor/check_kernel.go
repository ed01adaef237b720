package main

import (
	"errors"
	"fmt"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

// checkedKernel passes to checkup what nft and survey find.
type checkedKernel struct{ table *nft.Table }

var _ checkup.Kernel = (*checkedKernel)(nil)

// Support implements checkup.Kernel.
func (k *checkedKernel) Support() (checkup.Support, error) {
	support, err := k.table.Support()
	return checkup.Support{CounterMaps: support.ObjectMaps, OwnedTables: support.OwnedTables}, err
}

// Verify implements checkup.Kernel.
func (k *checkedKernel) Verify(ports accounting.Ports) ([]string, error) {
	differences, err := k.table.Verify(ports)
	if errors.Is(err, nft.ErrForeignTable) {
		return nil, checkup.ErrForeignTable
	}
	return differences, err
}

// Rules implements checkup.Kernel.
func (k *checkedKernel) Rules() (checkup.Rules, error) {
	addresses, err := sources.HostAddresses()
	if err != nil {
		return checkup.Rules{}, fmt.Errorf("listing the addresses of this host: %w", err)
	}
	host := survey.Host{Addresses: addresses}
	found, err := survey.Read(host)
	if err != nil {
		return checkup.Rules{}, err
	}
	rules := checkup.Rules{Unread: found.Unread, HostAddresses: addresses}
	for _, u := range found.Unresolved {
		rules.Unread = append(rules.Unread, fmt.Errorf("chain %s may translate %s ports %d-%d: %s", u.Place, u.Protocol, u.Ports.First, u.Ports.Last, u.Reason))
	}
	for _, t := range found.Translations {
		if t.Outgoing(host) {
			continue
		}
		rules.DNATs = append(rules.DNATs, checkup.DNAT{
			Chain: t.Place.String(), Covers: t.Covers, Address: t.Target.Addr(), Port: t.Target.Port(),
		})
	}
	for _, offload := range found.Offloads {
		rules.Offloads = append(rules.Offloads, checkup.Offload{Chain: offload.Place.String(), Flowtable: offload.Flowtable})
	}
	for _, place := range found.LaterDropChains {
		rules.LaterDropChains = append(rules.LaterDropChains, place.String())
	}
	for _, rule := range found.CountingRules {
		rules.CountingRules = append(rules.CountingRules, rule.Place.String())
	}
	return rules, nil
}
