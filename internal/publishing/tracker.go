package publishing

import (
	"slices"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/throttle"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

const (
	// rulesetShare and rulesetBurst bound the processor time of looks at the ruleset,
	// which some hosts change all the time.
	rulesetShare = 20
	rulesetBurst = time.Second
	// transientInterval is the time after which a decision is made again that can
	// change although nobody changes a rule.
	transientInterval = 30 * time.Second
	// retryInterval is the time after which a decision that failed is tried again.
	retryInterval = 10 * time.Second
)

// Tracker decides again and again where published ports lead, and notices when that may
// have changed.
type Tracker struct {
	hook   nft.Hook
	host   hostWatch
	budget throttle.Budget

	generation uint32    // of the ruleset at the last decision
	last       time.Time // when that began; zero: there is none
	failed     bool      // whether it failed
	transient  bool
}

// NewTracker returns a tracker of the ports that are counted at the hook.
func NewTracker(hook nft.Hook) *Tracker {
	return &Tracker{hook: hook, budget: throttle.Budget{Share: rulesetShare, Burst: rulesetBurst}}
}

// Decide decides for the ports, of which some targets were named. installed returns the
// targets that the table has.
func (t *Tracker) Decide(ports accounting.Ports, named []accounting.Target, installed func() ([]accounting.Target, error)) (decision Decision, err error) {
	t.last = time.Now()
	t.budget.Spend(t.last, func() { decision, err = t.decide(ports, named, installed) })
	t.failed, t.transient = err != nil, decision.Transient
	return decision, err
}

func (t *Tracker) decide(ports accounting.Ports, named []accounting.Target, installed func() ([]accounting.Target, error)) (decision Decision, err error) {
	if t.generation, err = survey.Generation(); err != nil { // first: a later change has another one
		return decision, err
	}
	targets, err := installed()
	if err != nil {
		return decision, err
	}
	scene, err := t.host.observe(t.hook, targets)
	if err != nil {
		return decision, err
	}
	return scene.Decide(ports, named)
}

// Outdated reports whether other ports may be published, or to other targets, than the
// last decision says. generation is that of the ruleset if the caller has just read it,
// else 0.
func (t *Tracker) Outdated(generation uint32) (outdated bool) {
	now := time.Now()
	since := now.Sub(t.last)
	switch {
	case !t.hook.CountsForwarded(), t.last.IsZero(), t.budget.Spent(now):
		return false
	case t.failed:
		return since >= retryInterval
	case t.transient && since >= transientInterval:
		return true
	}
	if generation == 0 {
		generation, _ = survey.Generation() // where it can't be read, nothing can
	}
	if generation != 0 && generation != t.generation {
		return true
	}
	t.budget.Spend(now, func() { outdated = t.host.changed() }) // it reads all routes
	return outdated
}

// SetPublished says of the ports that have a target, and of no others, that they are
// published.
func SetPublished(found *sources.Result, targets []accounting.Target) {
	var published accounting.PortMap[bool]
	for _, target := range targets {
		*published.At(target.Port) = true
	}
	SetPublishedWhere(found, func(port accounting.Port) bool { return published.Get(port.Number) })
}

// SetPublishedWhere says which ports are published, in lists of its own: those that were
// found may belong to somebody else.
func SetPublishedWhere(found *sources.Result, published func(accounting.Port) bool) {
	found.Ports, found.Entries = slices.Clone(found.Ports), slices.Clone(found.Entries)
	for i := range found.Ports {
		found.Ports[i].Published = published(found.Ports[i])
	}
	for i := range found.Entries {
		found.Entries[i].Published = published(found.Entries[i].Port)
	}
}

// Follows reports whether the tracker is of the hook.
func (t *Tracker) Follows(hook nft.Hook) bool { return t.hook == hook }
