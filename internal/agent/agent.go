package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/ticker"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
	"ssmonitor/output/control"
)

// Group is the group that may read what the agent knows: its socket, and the ledger.
const Group = "ssmonitor"

// Options are what an agent is given beside the settings.
type Options struct {
	Version string
	Log     *slog.Logger
	Lookup  func(variable string) string // of the environment
	// Confine leaves to this process only what an agent does once it runs; nil: nothing
	// is taken from it.
	Confine func() error
}

// agent holds the parts that run connects.
type agent struct {
	settings *settings.Settings
	Options

	table    *nft.Table
	ledger   *store.Store
	claim    *presence.Claim
	meter    *accounting.Meter
	follower *sources.Follower

	tracker   *publishing.Tracker
	named     []accounting.Target // by the operator
	published finding.News        // what the last decision found

	sockets     *sockdiag.Conn // nil: connections are unknown
	connections *connections.Meter
	readings    *readings

	history usage.History
	month   *monthUsage

	outputs []output
	web     *serving.WebConfig // of /metrics on TCP; nil: neither TLS nor passwords

	runtime    runtimeDirectory
	servers    sync.WaitGroup
	failed     chan error // receives the error of a server that fails
	served     []*servedSocket
	control    *control.Listener // nil: none, or it is served already
	controlErr error             // why there is none
	changes    chan func()       // what root requests, for the loop to run

	hangup   chan os.Signal
	notifier *unit.Notifier

	readFault accounting.Fault
}

// Run counts until ctx ends. Its error is a [failure.WrongError] if another attempt with
// these settings would fail alike.
func Run(ctx context.Context, s *settings.Settings, options Options) error {
	unit.LimitMemory(unit.HeapShareOfAgent)
	a := newAgent(s, options)
	defer signal.Stop(a.hangup)
	if err := a.open(ctx); err != nil {
		_ = a.close() // why it failed is known already
		return err
	}
	err := a.run(ctx)
	a.servers.Wait()
	return errors.Join(err, a.withdraw(), a.meter.Flush(), a.close())
}

// run ticks until ctx ends.
func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the servers
	metrics := a.newMetrics()
	a.openOutputs(metrics)
	if err := a.listen(ctx, metrics, a.web); err != nil {
		return err
	}
	a.confine()
	ticks, err := ticker.New(a.settings.Interval)
	if err != nil {
		return err
	}
	defer ticks.Stop()
	watchdog, stopWatchdog := a.notifier.Between(a.settings.Interval)
	defer stopWatchdog()

	a.Log.Info("counting", "ports", len(a.meter.Ports()), "interval", a.settings.Interval, "version", a.Version)
	a.tick(ctx)
	a.notifier.Ready()
	for {
		select {
		case <-ctx.Done():
			a.notifier.Stopping()
			return nil
		case err := <-a.failed:
			return err
		case <-a.hangup:
			a.reload()
		case change := <-a.changes:
			change()
		case <-watchdog:
			a.notifier.Alive(time.Now())
		case <-ticks.C:
			a.tick(ctx)
			a.follow()
		}
	}
}
