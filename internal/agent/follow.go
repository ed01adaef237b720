package agent

import (
	"context"
	"errors"
	"log/slog"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/health"
	"ssmonitor/internal/publishing"
)

// endInterval applies what has changed, and reads the counters. The list of ports comes
// first: those that setup has added count already, and the reading would find them not in
// force. Where published ports lead comes after it: the reading shows whether the ruleset
// has changed.
func (a *agent) endInterval(ctx context.Context) {
	if a.settingsFile.Changed() {
		a.applySettings()
	}
	a.follow()
	a.tick(ctx)
	if a.tracker.Outdated(a.meter.Status().Generation) {
		a.refreshForwarding()
	}
}

// follow applies what has changed in the sources.
func (a *agent) follow() {
	if a.follower.Changed() {
		a.reload()
	}
}

// reload reads the sources again and applies the list. If that fails, it logs why,
// and the ports in force stay.
func (a *agent) reload() {
	found, err := a.load()
	if err != nil {
		a.logNotes(found)
		return
	}
	before := a.meter.Ports()
	a.work(func() {
		err = a.applyForwarding(&found)
		a.logNotes(found)
		err = errors.Join(err, a.meter.SetPorts(a.resolve(found.Ports)))
	})
	a.board.Observe(health.NewPorts, err)
	if err != nil {
		return
	}
	added, removed := difference(before, found.Ports)
	a.Log.Info("applied the list of ports", "ports", len(found.Ports), "added", added, "removed", removed)
}

// load reads the sources, and reports what is wrong with them. A mistake in the list or in
// the file of clients is no reason to stop: what they said before counts. Nor is a list
// that is missing yet.
func (a *agent) load() (sources.Result, error) {
	found, err := a.follower.Load()
	partial := errors.As(err, new(*sources.PartialError))
	if partial && errors.Is(err, sources.ErrNoList) && !errors.Is(err, sources.ErrClients) {
		err = nil
	}
	a.board.Observe(health.PortList, err)
	if partial {
		err = nil
	}
	return found, err
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
	a.board.Observe(health.Published, err)
	if err != nil {
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
	a.work(func() {
		found := sources.Result{Ports: a.meter.Ports(), Targets: a.named}
		err := a.applyForwarding(&found)
		a.board.Observe(health.NewPorts, errors.Join(err, a.meter.SetPorts(found.Ports)))
	})
}

func (a *agent) logNotes(found sources.Result) {
	for _, note := range found.Notes {
		a.Log.Log(context.Background(), slog.LevelWarn, note.Error())
	}
}
