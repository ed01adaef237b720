package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/publishing"
)

// endInterval applies what has changed, and reads the counters. The list of ports comes
// first: those that setup has added count already, and the reading would find them not in
// force. Where published ports lead comes after it: the reading shows whether the ruleset
// has changed.
func (a *agent) endInterval(ctx context.Context) {
	if a.follower.Changed() {
		a.reload()
	}
	a.tick(ctx)
	if a.tracker.Outdated(a.meter.Status().Generation) {
		a.refreshForwarding()
	}
}

// reload reads the sources again and applies the list. If that fails, it logs why,
// and the ports in force stay.
func (a *agent) reload() {
	found, err := a.load()
	if err != nil {
		a.logNotes(found)
		a.Log.Error("the sources of ports can't be read; the ports in force stay", "error", err)
		return
	}
	a.notifier.Progress(time.Now()) // each step may take seconds for thousands of ports
	err = a.applyForwarding(&found)
	a.logNotes(found)
	before := a.meter.Ports()
	ports := a.resolve(found.Ports)
	a.notifier.Progress(time.Now())
	err = errors.Join(err, a.meter.SetPorts(ports))
	a.notifier.Progress(time.Now())
	if err != nil {
		a.Log.Error("the new ports can't be counted yet", "error", err)
		return
	}
	added, removed := difference(before, found.Ports)
	a.Log.Info("applied the list of ports", "ports", len(found.Ports), "added", added, "removed", removed)
}

// load reads the sources. It logs what is wrong with the list and the file of clients, if
// that is no reason to stop: what they said before counts.
func (a *agent) load() (sources.Result, error) {
	found, err := a.follower.Load()
	if !errors.As(err, new(*sources.PartialError)) {
		return found, err
	}
	if !errors.Is(err, sources.ErrNoList) || errors.Is(err, sources.ErrClients) {
		a.Log.Error("a source of ports can't be read; what it said before stays in force", "error", err)
	}
	return found, nil
}

// difference counts the ports that are in one list only.
func difference(before, after accounting.Ports) (added, removed int) {
	for _, port := range after {
		if _, found := before.Find(port.Number); !found {
			added++
		}
	}
	return added, len(before) + added - len(after)
}

// applyForwarding puts the decision for the ports in force. If there is none, the targets
// in force stay, and the marks of their ports: the rules of others don't keep the
// agent from counting.
func (a *agent) applyForwarding(found *sources.Result) error {
	a.named = found.Targets
	if !a.settings.Hook.CountsForwarded() {
		publishing.SetPublished(found, nil)
		return nil
	}
	decision, err := a.tracker.Decide(found.Ports, found.Targets, a.meter.Targets)
	if err != nil {
		a.Log.Error("where ports are published to can't be determined; what is counted at forward stays", "error", err)
		inForce := a.meter.Ports()
		publishing.SetPublishedWhere(found, func(port accounting.Port) bool {
			if before, ok := inForce.Find(port.Number); ok {
				return before.Published
			}
			return port.Published
		})
		return nil
	}
	publishing.SetPublished(found, decision.Targets)
	a.forwardingNews.Log(a.Log, finding.Remarks(decision.Findings))
	return a.meter.SetForwarding(decision.Forwarding)
}

// refreshForwarding puts what is published now in force for the ports in force.
func (a *agent) refreshForwarding() {
	found := sources.Result{Ports: a.meter.Ports(), Targets: a.named}
	err := a.applyForwarding(&found)
	if err := errors.Join(err, a.meter.SetPorts(found.Ports)); err != nil {
		a.Log.Error("what is published can't be counted yet", "error", err)
	}
}

func (a *agent) logNotes(found sources.Result) {
	for _, note := range found.Notes {
		a.Log.Log(context.Background(), slog.LevelWarn, note.Error())
	}
}
