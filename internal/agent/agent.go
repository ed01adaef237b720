package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/health"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/ticker"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
	"ssmonitor/output/prometheus"
)

// Options are what an agent is given beside the settings.
type Options struct {
	Version string
	Log     *slog.Logger
	Lookup  func(variable string) string // of the environment
	// Confine leaves to this process only what an agent does once it runs; nil: nothing
	// is taken from it.
	Confine func() error
	// Inputs are where the settings were given: the agent follows the file.
	Inputs settings.Inputs
}

// agent holds the parts that run connects.
type agent struct {
	settings *settings.Settings // as they were at the start
	Options

	inForce      atomic.Pointer[settings.Settings] // with what was applied since
	settingsFile *sources.Follower

	later string // the keys that wait for a restart

	table    *nft.Table
	ledger   *store.Store
	meter    *accounting.Meter
	follower *sources.Follower

	tracker        *publishing.Tracker
	named          []accounting.Target // by the operator
	forwardingNews finding.News        // what the last decision found

	sockets     *sockdiag.Conn // nil: connections are unknown
	connections *connections.Meter
	readings    *readings

	history     usage.History
	month       *monthUsage
	monthBefore *usage.Month // the usage of the month before the first reading

	watchers []watcher

	runtime runtimeDirectory
	servers sync.WaitGroup
	failed  chan error // receives the error of a server that fails
	served  []*servedSocket
	control controlSocket
	changes chan func() // what root requests, for the loop to run

	notifier *unit.Notifier
	working  atomic.Bool // see work
	board    *health.Board

	closing []func() error // ends what is open, in the order of opening
}

// Run counts until ctx ends. Its error is a [failure.WrongError] if another attempt with
// these settings would fail alike.
//
// The order has its reasons. SIGHUP is caught first, since it would end an agent that is
// starting. The lock of the ledger keeps all that follows from a second agent: its sockets,
// the table, and the files of an earlier run. The control socket follows the lock, since a
// command that finds the ledger held looks for it. Everything is open before confine takes the
// right to open it, and only then does time begin to count.
func Run(ctx context.Context, s *settings.Settings, options Options) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	unit.LimitMemory(unit.HeapShareOfAgent)
	a := newAgent(s, options)
	if err := a.open(ctx); err != nil {
		_ = a.close() // why it failed is known already
		return err
	}
	err := a.run(ctx, hangup)
	a.servers.Wait()
	return errors.Join(err, a.meter.Flush(), a.close())
}

// run ticks until ctx ends.
func (a *agent) run(ctx context.Context, hangup <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the servers
	metrics := a.newMetrics()
	a.openWatchers(metrics)
	if err := a.listen(ctx, prometheus.NewHandler(metrics, time.Now)); err != nil {
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
	debug.FreeOSMemory() // gives back what only the start needed
	a.notifier.Ready()
	for {
		select {
		case <-ctx.Done():
			a.notifier.Stopping()
			return nil
		case err := <-a.failed:
			return err
		case <-hangup:
			a.applySettings()
			a.reload()
		case change := <-a.changes:
			a.work(change)
		case <-watchdog:
			a.notifier.Alive(time.Now())
		case <-ticks.C:
			a.endInterval(ctx)
		}
	}
}

// confine leaves to this process only what the agent does from now on. On a kernel
// that can't do this, counting goes on all the same.
func (a *agent) confine() {
	if a.Confine == nil {
		return
	}
	if err := a.Confine(); err != nil {
		a.Log.Warn("the agent keeps the power over routes and interfaces, which it doesn't need", "error", err)
	}
}
