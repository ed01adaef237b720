package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/store"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/clients"
	"ssmonitor/internal/confine"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/throttle"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
)

// lockPatience is how long an agent waits for a command that holds the ledger.
const lockPatience = 5 * time.Second

func newAgent(s *settings.Settings, options Options) *agent {
	a := &agent{
		settings: s,
		Options:  options,
		tracker:  publishing.NewTracker(s.Hook),
		history:  store.History{Directory: s.State},
		failed:   make(chan error, 1),
		changes:  make(chan func()),
		hangup:   make(chan os.Signal, 1),
		notifier: unit.NewNotifier(),
		runtime:  newRuntimeDirectory(settings.RuntimeDirectory(options.Lookup), s.CSV, s.Socket, s.Textfile, s.State),
	}
	signal.Notify(a.hangup, syscall.SIGHUP)
	a.month = &monthUsage{calendar: s.Calendar(), history: a.history, now: time.Now, gap: throttle.Gap{Least: monthGap}}
	return a
}

// sourcesOf returns where the ports come from: what is named, or else the list. If the
// list is named as well, it is read together with the rest.
func sourcesOf(s *settings.Settings) sources.Sources {
	from := sources.Sources{
		Shadowsocks: s.Shadowsocks, Servers: s.ServerConfigs, AnyProtocol: s.AnyProtocol,
		Ports: s.Ports, Targets: s.Targets,
	}
	if !s.NamesPorts() || s.Given("ports") {
		from.List = s.List
	}
	return from
}

// open opens the ledger and the table and puts the ports in force.
func (a *agent) open(ctx context.Context) error {
	if path := a.settings.WebConfig; path != "" {
		web, err := serving.OpenWebConfig(path)
		if err != nil {
			return failure.Wrong(err)
		}
		a.web = web
	}
	from := sourcesOf(a.settings)
	if len(from.Shadowsocks)+len(from.Servers) > 0 {
		if err := confine.KeepOutOfDumps(); err != nil {
			return err
		}
	}
	if a.settings.CSV != "" {
		unit.NoteCSV(a.Log, a.settings.CSV, a.Lookup)
	}
	if err := a.runtime.make(); err != nil {
		return err
	}
	saved, err := a.openLedger(ctx)
	if err != nil {
		return err
	}
	if a.table, err = nft.Open(nft.Options{Hook: a.settings.Hook, Own: a.settings.Own}); err != nil {
		return err
	}
	if a.claim, err = presence.Take(from.List, a.settings.State, settings.DefaultState); err != nil {
		return err
	}
	if a.claim.Stranger != nil {
		a.Log.Warn("other commands won't notice this agent", "error", a.claim.Stranger)
	}
	a.meter = accounting.NewMeter(accounting.MeterOptions{
		Table: a.table, Store: a.ledger, Initial: saved, SaveInterval: a.settings.SaveInterval, Log: a.Log,
	})
	if a.settings.Warn.Any() {
		a.outputs = append(a.outputs, newLimitLog(ctx, a.settings.Warn, a.month, a.meter, a.Log))
	}
	a.openSockets()
	a.follower = sources.Follow(from)
	return a.begin()
}

// openLedger opens the ledger, and the socket on which root changes it. A command that
// changes the ledger takes a moment; if anything else holds it, that is an error at once.
func (a *agent) openLedger(ctx context.Context) (saved accounting.State, err error) {
	options := store.Options{
		Holder: store.AgentHolder, Zone: a.settings.Zone, MonthDay: a.settings.MonthDay,
		KeepHours: a.settings.KeepHours, KeepDays: a.settings.KeepDays, Boot: a.Lookup("BOOT_ID"), Log: a.Log,
	}
	var notices []store.Notice
	a.ledger, saved, notices, err = store.Open(a.settings.State, options)
	if locked, ok := errors.AsType[*store.LockedError](err); ok && (locked.PID == 0 || locked.Holder == clients.Holder) {
		waiting, cancel := context.WithTimeout(ctx, lockPatience)
		defer cancel()
		a.ledger, saved, notices, err = store.OpenWhenFree(waiting, a.settings.State, options)
	}
	if err != nil {
		return saved, err
	}
	unit.NoteState(a.Log, a.settings.State, a.Lookup)
	if err := a.openControl(); err != nil {
		return saved, err
	}
	for _, notice := range notices {
		level := slog.LevelWarn
		if notice.Lost {
			level = slog.LevelError
		}
		a.Log.Log(ctx, level, notice.Text)
	}
	return saved, nil
}

// begin puts the ports in force for the first time.
func (a *agent) begin() error {
	found, err := a.follower.Load()
	if err != nil && !errors.Is(err, sources.ErrNoList) {
		a.logNotes(found)
		return failure.Wrong(err) // the table of an earlier agent goes on counting
	}
	if err := a.replaceOwnerMismatch(); err != nil {
		return err
	}
	err = a.publish(&found)
	a.logNotes(found)
	if len(found.Ports) == 0 {
		a.Log.Info("no port to count yet: waiting for the list of ports, which `ssmonitor setup` writes; --port and --shadowsocks name ports for this agent")
	}
	if err := errors.Join(err, a.meter.SetPorts(a.ledger.ResolveNames(found.Ports))); err != nil {
		return err
	}
	a.giveLater()
	return nil
}

// replaceOwnerMismatch removes a table that was created with another --own, whose
// flags can't be changed.
func (a *agent) replaceOwnerMismatch() error {
	mismatch, err := a.table.OwnerMismatch()
	if err != nil || !mismatch {
		return err
	}
	a.Log.Info("the table is replaced, since --own has changed; what it counted is saved first")
	return Retire(a.table, a.meter)
}

// Retire removes the table without losing traffic: it ends counting, reads and saves what
// was counted, and only then deletes the table.
func Retire(table *nft.Table, meter *accounting.Meter) error {
	if err := table.Stop(); err != nil {
		return err
	}
	if err := meter.Flush(); err != nil {
		return fmt.Errorf("%w; counting has ended, the counters are kept: repair this and try again", err)
	}
	return table.Remove()
}

// openSockets prepares to count who is connected. If that is not possible, the
// connections stay unknown.
func (a *agent) openSockets() {
	var source connections.Counter
	// Where packets are counted before addresses are translated, any port may
	// lead to a container, whose connections are not seen here.
	if a.settings.Hook != nft.HookContainer {
		conn, err := sockdiag.Open()
		if err != nil {
			a.Log.Warn("who is connected is unknown", "error", err)
		} else {
			a.sockets, source = conn, conn
		}
	} else if a.settings.Addresses.Any() {
		a.Log.Warn("--addresses has no effect with --hook container: connections to containers can't be seen")
	}
	a.connections = connections.NewMeter(source, nil, a.Log)
	a.readings = newReadings(a.meter, a.connections, a.settings.Interval)
}

// withdraw removes what nobody may read while no agent runs.
func (a *agent) withdraw() error {
	var errs []error
	for _, o := range a.outputs {
		errs = append(errs, o.withdraw())
	}
	return errors.Join(errs...)
}

// close closes what is open. The counters go on counting.
func (a *agent) close() error {
	var errs []error
	if a.control != nil {
		errs = append(errs, a.control.Close())
	}
	if a.sockets != nil {
		errs = append(errs, a.sockets.Close())
	}
	if a.claim != nil {
		a.claim.Close()
	}
	if a.table != nil {
		errs = append(errs, a.table.Close())
	}
	if a.ledger != nil {
		errs = append(errs, a.ledger.Close())
	}
	a.runtime.remove()
	return errors.Join(errs...)
}
