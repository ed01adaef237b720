package main

import (
	"slices"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

// publishing follows which ports are published, for an agent with sources of its
// own. Otherwise the list has that from setup.
type publishing struct {
	hook       nft.Hook
	generation uint32        // of the ruleset at the last survey
	last       time.Time     // when that began
	took       time.Duration // how long it took
	failed     bool          // whether it did
}

// followPublishing returns nil if the agent need not look for published ports.
func followPublishing(from sources.Sources, hook nft.Hook) *publishing {
	if hook != nft.HookHost || len(from.Ports)+len(from.Shadowsocks)+len(from.Servers) == 0 {
		return nil
	}
	return &publishing{hook: hook}
}

// mark marks the published ports among those that were found.
func (p *publishing) mark(found *sources.Result) (err error) {
	if p == nil {
		return nil
	}
	p.last = time.Now()
	defer func() { p.took, p.failed = time.Since(p.last), err != nil }()
	generation, err := survey.Generation() // first: a later change has another one
	if err != nil {
		return err
	}
	if err := markPublished(found, p.hook); err != nil {
		return err
	}
	p.generation = generation
	return nil
}

// changed reports whether other ports are published than the marks say, or whether
// the last list could not be marked.
func (p *publishing) changed(inForce func() accounting.Ports) bool {
	if p == nil || time.Since(p.last) < rulesetShare*p.took {
		return false
	}
	if p.failed {
		return time.Since(p.last) >= followRetry
	}
	if generation, err := survey.Generation(); err != nil || generation == p.generation {
		return false
	}
	ports := inForce() // a copy, which is not made at every tick
	found := sources.Result{Ports: ports, Entries: make([]portlist.Entry, len(ports))}
	return p.mark(&found) == nil && !slices.Equal(found.Ports, ports)
}
