package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/publishing"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

const (
	// rulesetShare bounds what looks at the ruleset, which some hosts change all the
	// time, take in the long run: one part in so many of a processor's time. It is
	// processor time, since a look that waits for a busy processor must not delay the
	// next one.
	rulesetShare = 20
	// rulesetBurst is the processor time that looks may take beyond their share, so
	// that a few changes at once are all seen at once.
	rulesetBurst = time.Second
	// transientInterval is the time after which a decision is made again that can
	// change although nobody changes a rule.
	transientInterval = 30 * time.Second
)

// publisher decides where published ports lead, and notices when that may have
// changed.
type publisher struct {
	hook nft.Hook
	host publishing.Watch

	generation uint32        // of the ruleset at the last decision
	last       time.Time     // when that began
	debt       time.Duration // of processor time beyond the share, when it began, and its own
	failed     bool          // whether it failed
	transient  bool
}

// decide decides for the ports. installed returns the targets that the table has.
func (p *publisher) decide(found *sources.Result, installed func() ([]accounting.Target, error)) (decision publishing.Decision, err error) {
	now := time.Now()
	p.debt, p.last = p.owed(now), now
	before := processorTime()
	defer func() {
		p.debt += processorTime() - before
		p.failed, p.transient = err != nil, decision.Transient
	}()
	if p.generation, err = survey.Generation(); err != nil { // first: a later change has another one
		return decision, err
	}
	targets, err := installed()
	if err != nil {
		return decision, err
	}
	scene, err := p.host.Observe(p.hook, targets)
	if err != nil {
		return decision, err
	}
	if decision, err = scene.Decide(found.Ports, found.Targets); err != nil {
		return decision, err
	}
	markPublished(found, decision.Targets)
	return decision, nil
}

// processorTime returns how long this process has kept processors busy.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// owed returns how much of the debt is left.
func (p *publisher) owed(now time.Time) time.Duration {
	return debtAfter(p.debt, now.Sub(p.last), rulesetShare)
}

// debtAfter returns how much of a debt of processor time is left after a time, of which
// one part in share may be used.
func debtAfter(debt, passed time.Duration, share int64) time.Duration {
	return max(0, debt-passed/time.Duration(share))
}

// outdated reports whether other ports may be published, or to other targets, than
// the last decision says.
func (p *publisher) outdated() bool {
	now := time.Now()
	since := now.Sub(p.last)
	switch {
	case p.hook != nft.HookHost, p.last.IsZero(), p.owed(now) > rulesetBurst:
		return false
	case p.failed:
		return since >= followRetry
	case p.transient && since >= transientInterval:
		return true
	}
	if generation, err := survey.Generation(); err == nil && generation != p.generation {
		return true
	}
	before := processorTime()
	defer func() { p.debt += processorTime() - before }() // it reads all routes
	return p.host.Changed()
}

// markPublished marks the ports that have a target, and no others.
func markPublished(found *sources.Result, targets []accounting.Target) {
	var marked accounting.PortMap[bool]
	for _, target := range targets {
		*marked.At(target.Port) = true
	}
	mark(found, func(port accounting.Port) bool { return marked.Get(port.Number) })
}

// mark marks the ports that are published, in lists of its own: those that were
// found may belong to somebody else.
func mark(found *sources.Result, published func(accounting.Port) bool) {
	found.Ports, found.Entries = slices.Clone(found.Ports), slices.Clone(found.Entries)
	for i := range found.Ports {
		found.Ports[i].Published = published(found.Ports[i])
		if i < len(found.Entries) {
			found.Entries[i].Published = found.Ports[i].Published
		}
	}
}

// findingNote is a finding that setup or the agent reports, in one line.
type findingNote checkup.Finding

func (n findingNote) Error() string {
	if n.Remedy == "" {
		return n.Message
	}
	return n.Message + ": " + strings.ReplaceAll(n.Remedy, "\n", "; ")
}

func findingNotes(findings []checkup.Finding) (notes []error) {
	for _, finding := range findings {
		notes = append(notes, findingNote(finding))
	}
	return notes
}

// logNote logs a note: as a warning, unless it is a finding that needs no action.
func logNote(log *slog.Logger, note error) {
	level := slog.LevelWarn
	if finding, ok := errors.AsType[findingNote](note); ok && finding.Level <= checkup.Note {
		level = slog.LevelInfo
	}
	log.Log(context.Background(), level, note.Error())
}

// decideForSetup adds the notes of a decision to what was found. Where the kernel can't
// be asked there is no decision, and a note why.
func decideForSetup(p *publisher, found *sources.Result, options nft.Options) (forwarding accounting.Forwarding, err error) {
	// First, since it explains what the kernel refuses. Without an owner: this only reads.
	table, err := nft.Open(nft.Options{Hook: options.Hook})
	if errors.Is(err, nft.ErrPermission) || errors.Is(err, nft.ErrNoNFTables) {
		markPublished(found, found.Targets)
		_, cause := nft.Explain(err)
		found.Notes = append(found.Notes, fmt.Errorf("ports that a container engine publishes can't be recognised: %w", cause))
		return accounting.Forwarding{Targets: found.Targets}, nil
	}
	if err != nil {
		return forwarding, err
	}
	defer func() { _ = table.Close() }()
	decision, err := p.decide(found, table.Targets)
	if err != nil {
		return forwarding, err
	}
	found.Notes = append(found.Notes, findingNotes(decision.Findings)...)
	return decision.Forwarding, nil
}

// publish puts the decision for the ports in force. If there is none, the targets
// in force stay, and the marks of their ports: the rules of others don't keep the
// agent from counting.
func (a *agent) publish(found *sources.Result) error {
	a.named = found.Targets
	if a.publisher.hook != nft.HookHost {
		markPublished(found, nil)
		return nil
	}
	decision, err := a.publisher.decide(found, a.meter.Targets)
	if err != nil {
		a.log.Error("where ports are published to can't be determined; what is counted at forward stays", "error", err)
		inForce := a.meter.Ports()
		mark(found, func(port accounting.Port) bool {
			if before, ok := inForce.Find(port.Number); ok {
				return before.Published
			}
			return port.Published
		})
		return nil
	}
	a.logFindings(decision.Findings)
	return a.meter.SetForwarding(decision.Forwarding)
}

// logFindings logs those that were not among the last ones.
func (a *agent) logFindings(findings []checkup.Finding) {
	for _, finding := range findings {
		if !slices.Contains(a.published, finding) {
			logNote(a.log, findingNote(finding))
		}
	}
	a.published = findings
}

// republish puts what is published now in force for the ports in force.
func (a *agent) republish() {
	found := sources.Result{Ports: a.meter.Ports(), Targets: a.named}
	err := a.publish(&found)
	if err := errors.Join(err, a.meter.SetPorts(found.Ports)); err != nil {
		a.log.Error("what is published can't be counted yet", "error", err)
	}
}
