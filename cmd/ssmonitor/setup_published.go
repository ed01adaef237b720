package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

// markPublished marks the ports whose packets the host forwards, which it can
// count there, and adds a note for each rule that makes it forward them. With hook
// container every port is counted before that anyway. A port stays marked while a
// rule can't be read, which may be the one that publishes it.
func markPublished(found *sources.Result, hook nft.Hook) error {
	found.Ports, found.Entries = slices.Clone(found.Ports), slices.Clone(found.Entries)
	if hook != nft.HookHost {
		unmark(found)
		return nil
	}
	addresses, err := sources.HostAddresses()
	if err != nil {
		return fmt.Errorf("listing the addresses of this host: %w", err)
	}
	host := survey.Host{Addresses: addresses}
	rules, err := survey.Read(host)
	if errors.Is(err, fs.ErrPermission) {
		unmark(found)
		found.Notes = append(found.Notes, fmt.Errorf("ports that a container engine publishes can't be recognised without CAP_NET_ADMIN"))
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for published ports: %w", err)
	}
	if len(rules.Unread) == 0 {
		unmark(found)
	}
	for _, err := range rules.Unread {
		found.Notes = append(found.Notes, fmt.Errorf("looking for published ports: a rule can't be read: %w", err))
	}
	for _, rule := range rules.Translations {
		if !rule.Forwards(host) || rule.Outgoing(host) {
			continue
		}
		var published []accounting.Port
		for i, port := range found.Ports {
			if rule.Covers(port) {
				published = append(published, port)
				found.Ports[i].Published, found.Entries[i].Published = true, true
			}
		}
		if len(published) > 0 {
			found.Notes = append(found.Notes, fmt.Errorf("%s: published by chain %s, and counted where the host forwards what it translates",
				checkup.DescribePorts(published), rule.Place))
		}
	}
	return nil
}

// unmark removes the marks that the list has of an earlier time.
func unmark(found *sources.Result) {
	for i := range found.Ports {
		found.Ports[i].Published, found.Entries[i].Published = false, false
	}
}
