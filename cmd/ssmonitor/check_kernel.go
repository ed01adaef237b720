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
	found, err := survey.Read()
	if err != nil {
		return checkup.Rules{}, err
	}
	rules := checkup.Rules{Unread: found.Unread}
	if rules.HostAddresses, err = sources.HostAddresses(); err != nil {
		return rules, fmt.Errorf("listing the addresses of this host: %w", err)
	}
	for _, dnat := range found.DNATs {
		rules.DNATs = append(rules.DNATs, checkup.DNAT{
			Chain: dnat.Place.String(), Covers: dnat.Covers, Address: dnat.Address, Mapped: dnat.Mapped, Port: dnat.Port,
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
