package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/nft"
	"ssmonitor/output/control"
	"ssmonitor/output/csv"
	"ssmonitor/output/prometheus"
)

// agent holds the parts that run connects.
type agent struct {
	log      *slog.Logger
	interval time.Duration
	table    *nft.Table
	ledger   *store.Store
	claim    *presence.Claim
	meter    *accounting.Meter
	follower *sources.Follower
	csv      *csv.File // nil: none
	socket   string    // empty: none
	address  string    // for /metrics; empty: none
	metrics  metricsOptions

	servers sync.WaitGroup
	failed  chan error // receives the error of a server that fails
	hangup  chan os.Signal

	control    *control.Listener // nil: none, or it is served already
	controlErr error             // why there is none
	changes    chan func()       // what root requests, for the loop to run

	directory runtimeFiles
	served    []*servedSocket

	history history
	month   *monthUsage
	limits  *limitCheck

	publisher publisher
	named     []accounting.Target // by the operator
	published []checkup.Finding   // of the last decision

	sockets       *sockdiag.Conn // nil: connections are unknown
	connections   *connections.Meter
	addressLimits connections.Limits
	addresses     *connections.Watch

	textfile *prometheus.File // nil: none

	notifier                           *notifier
	csvFault, readFault, textfileFault accounting.Fault
}

func newAgent(c *cli.Context) (*agent, error) {
	options, err := tableOptions(c)
	if err != nil {
		return nil, err
	}
	from, err := runSources(c)
	if err != nil {
		return nil, err
	}
	keep, err := storeOptions(c)
	if err != nil {
		return nil, err
	}
	limits, err := usageLimits(c)
	if err != nil {
		return nil, err
	}
	ofAddresses, err := addressLimits(c)
	if err != nil {
		return nil, err
	}
	if err := checkIntervals(c); err != nil {
		return nil, err
	}
	metrics, err := newMetricsOptions(c)
	if err != nil {
		return nil, err
	}
	a := &agent{
		log:      newLog(c.App.ErrWriter),
		interval: c.Duration("interval"),
		follower: sources.Follow(from),
		socket:   c.String("socket"),
		changes:  make(chan func()),
		address:  c.String("listen"),
		metrics:  metrics,
		failed:   make(chan error, 1),
		hangup:   make(chan os.Signal, 1),
		history:  savedHistory{stateDirectory(c)},
		notifier: newNotifier(),

		addressLimits: ofAddresses,
	}
	a.publisher = publisher{hook: options.Hook}
	a.month = &monthUsage{calendar: usage.Calendar{Zone: keep.Zone, MonthDay: keep.MonthDay}, history: a.history, now: time.Now}
	a.limits = &limitCheck{limits: limits, month: a.month, log: a.log}
	keep.Log = a.log
	signal.Notify(a.hangup, syscall.SIGHUP)
	if path := c.String("csv"); path != "" {
		a.csv = csv.NewFile(path)
		noteCSV(a.log, path, os.Getenv)
	}
	a.directory = newRuntimeFiles(runtimeDirectory(os.Getenv), c.String("csv"), a.socket, c.String("textfile"), stateDirectory(c))
	if err := errors.Join(a.directory.make(), a.open(c, keep, options, from.List)); err != nil {
		a.abandon()
		return nil, err
	}
	return a, nil
}

// open opens the ledger and the table and puts the ports in force.
func (a *agent) open(c *cli.Context, keep store.Options, options nft.Options, list string) error {
	ledger, saved, notices, err := openLedger(c.Context, stateDirectory(c), keep)
	if err != nil {
		return err
	}
	noteState(a.log, stateDirectory(c), os.Getenv)
	a.ledger = ledger
	if err := a.openControl(); err != nil {
		return err
	}
	for _, notice := range notices {
		level := slog.LevelWarn
		if notice.Lost {
			level = slog.LevelError
		}
		a.log.Log(c.Context, level, notice.Text)
	}
	a.limits.begin(c.Context)
	if a.table, err = nft.Open(options); err != nil {
		return err
	}
	if a.claim, err = presence.Take(list, stateDirectory(c), defaultState); err != nil {
		return err
	}
	if a.claim.Stranger != nil {
		a.log.Warn("other commands won't notice this agent", "error", a.claim.Stranger)
	}
	a.meter = accounting.NewMeter(accounting.MeterOptions{
		Source: a.table, Store: ledger, Saved: saved,
		SaveInterval: c.Duration("save-interval"), Log: a.log,
	})
	a.openSockets(options.Hook)
	result, err := a.follower.Load()
	if err != nil && !errors.Is(err, sources.ErrNoList) {
		a.logNotes(result)
		return wrongUsage(err) // the table of an earlier agent goes on counting
	}
	if err := a.replaceOwnerMismatch(); err != nil {
		return err
	}
	err = a.publish(&result)
	a.logNotes(result)
	if len(result.Ports) == 0 {
		a.log.Info("no port to count yet: waiting for the list of ports, which `ssmonitor setup` writes; --port and --shadowsocks name ports for this agent")
	}
	if err := errors.Join(err, a.meter.SetPorts(ledger.SetPorts(result.Ports))); err != nil {
		return err
	}
	a.giveLater()
	return nil
}

// openLedger opens the ledger. It waits for a command that changes it, which takes a
// moment, and fails at once if anything else holds it.
func openLedger(ctx context.Context, directory string, options store.Options) (*store.Store, accounting.State, []store.Notice, error) {
	ledger, saved, notices, err := store.Open(directory, options)
	if locked, ok := errors.AsType[*store.LockedError](err); !ok || (locked.PID != 0 && locked.Holder != clientHolder) {
		return ledger, saved, notices, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	return store.OpenWhenFree(ctx, directory, options)
}

// replaceOwnerMismatch removes a table that was created with another --own, whose
// flags can't be changed.
func (a *agent) replaceOwnerMismatch() error {
	mismatch, err := a.table.OwnerMismatch()
	if err != nil || !mismatch {
		return err
	}
	a.log.Info("the table is replaced, since --own has changed; what it counted is saved first")
	return retire(a.table, a.meter)
}

func (a *agent) logNotes(result sources.Result) {
	for _, note := range result.Notes {
		a.log.Warn(note.Error())
	}
}

// run ticks until ctx ends.
func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the servers
	metrics := a.newMetrics()
	if err := a.listen(ctx, prometheus.NewHandler(metrics, time.Now)); err != nil {
		return err
	}
	a.confine(ctx)
	if a.csv != nil {
		if err := a.csv.RemoveStale(); err != nil {
			a.log.Warn("the CSV file of an earlier run can't be removed", "error", err)
		}
	}
	a.openTextfile(metrics)
	ticks, err := newTicker(a.interval)
	if err != nil {
		return err
	}
	defer ticks.Stop()
	watchdog, stopWatchdog := a.notifier.between(a.interval)
	defer stopWatchdog()

	a.log.Info("counting", "ports", len(a.meter.Ports()), "interval", a.interval, "version", version())
	a.tick(ctx)
	a.notifier.send(daemon.SdNotifyReady)
	releaseMemory()
	for {
		select {
		case <-ctx.Done():
			a.notifier.send(daemon.SdNotifyStopping)
			return nil
		case err := <-a.failed:
			return err
		case <-a.hangup:
			a.reload()
		case change := <-a.changes:
			change()
		case <-watchdog:
			a.notifier.alive(time.Now())
		case <-ticks.C:
			switch {
			case a.follower.Changed():
				a.reload()
				releaseProgram()
			case a.publisher.outdated():
				a.republish()
				releaseProgram()
			}
			a.tick(ctx)
		}
	}
}

// reload reads the sources again and applies the list. If that fails, it logs why,
// and the ports in force stay.
func (a *agent) reload() {
	result, err := a.follower.Load()
	if err != nil {
		a.logNotes(result)
		a.log.Error("the sources of ports can't be read; the ports in force stay", "error", err)
		return
	}
	a.notifier.progress(time.Now()) // each step may take seconds for thousands of ports
	err = a.publish(&result)
	a.logNotes(result)
	before := a.meter.Ports()
	ports := a.ledger.SetPorts(result.Ports)
	a.notifier.progress(time.Now())
	err = errors.Join(err, a.meter.SetPorts(ports))
	a.notifier.progress(time.Now())
	if err != nil {
		a.log.Error("the new ports can't be counted yet", "error", err)
		return
	}
	added, removed := difference(before, result.Ports)
	a.log.Info("applied the list of ports", "ports", len(result.Ports), "added", added, "removed", removed)
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

// tick ends an interval and publishes it.
func (a *agent) tick(ctx context.Context) {
	report, err := a.meter.Tick()
	if !errors.Is(err, accounting.ErrNoTable) && !errors.Is(err, accounting.ErrRestored) { // the repair is logged
		switch a.readFault.Observe(err) {
		case accounting.FaultRaised:
			a.log.Error("the counters can't be read", "error", err)
		case accounting.FaultCleared:
			a.log.Info("the counters are read again")
		}
	}
	a.limits.check(ctx, a.meter.Status().LastSave)
	a.checkAddresses(report)
	state, rates := status(report, errors.Join(err, a.meter.Status().RepairError))
	a.notifier.tick(time.Now(), a.interval, state, rates)
	a.restoreSockets()
	a.writeTextfile(ctx, report)
	if a.csv == nil {
		return
	}
	if err != nil {
		_ = a.csv.Remove() // its rates are out of date; the next write reports any failure
		return
	}
	err = a.csv.Write(report)
	switch a.csvFault.Observe(err) {
	case accounting.FaultRaised:
		a.log.Error("the CSV file can't be written", "error", err)
	case accounting.FaultCleared:
		a.log.Info("the CSV file is written again")
	}
}

// close saves and closes what newAgent opened. The counters go on counting.
func (a *agent) close() error {
	signal.Stop(a.hangup)
	a.servers.Wait()
	var errs []error
	if a.csv != nil {
		errs = append(errs, a.csv.Remove())
	}
	if a.textfile != nil {
		errs = append(errs, a.textfile.Remove())
	}
	if a.sockets != nil {
		errs = append(errs, a.sockets.Close())
	}
	errs = append(errs, closeControl(a.control), a.meter.Flush())
	a.claim.Close()
	a.directory.remove()
	return errors.Join(append(errs, a.table.Close(), a.ledger.Close())...)
}

// abandon closes what a failed start has opened. It ignores errors, since the
// reason for the failure is known already.
func (a *agent) abandon() {
	signal.Stop(a.hangup)
	_ = closeControl(a.control)
	a.directory.remove()
	if a.sockets != nil {
		_ = a.sockets.Close()
	}
	if a.claim != nil {
		a.claim.Close()
	}
	if a.table != nil {
		_ = a.table.Close()
	}
	if a.ledger != nil {
		_ = a.ledger.Close()
	}
}
