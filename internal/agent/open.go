package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/store"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/health"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/throttle"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
)

func newAgent(s *settings.Settings, options Options) *agent {
	a := &agent{
		settings: s,
		Options:  options,
		tracker:  publishing.NewTracker(s.Hook),
		failed:   make(chan error, 1),
		changes:  make(chan func()),
		notifier: unit.NewNotifier(),
		board:    health.NewBoard(time.Now, options.Log),
		runtime:  newRuntimeDirectory(settings.RuntimeDirectory(options.Lookup), s.CSV, s.Socket, s.Textfile, s.StateDirectory),
	}
	a.inForce.Store(s)
	a.board.Observe(health.Settings, s.Ignored.Err)
	a.settingsFile = sources.Watch(options.Inputs.FilePath())
	a.history = store.History{
		Directory: s.StateDirectory, Calendar: s.Calendar(),
		Unsaved: func() accounting.Unsaved { return a.meter.Unsaved() },
	}
	a.month = &monthUsage{calendar: s.Calendar(), history: a.history, now: time.Now, gap: throttle.Gap{Least: monthGap}}
	return a
}

// open opens the ledger and the table and puts the ports in force.
func (a *agent) open(ctx context.Context) error {
	// What is named, or else the list; and the file of clients. If the list is named as well,
	// it is read together with the rest.
	from := a.settings.Sources()
	if !a.settings.HasPortSources() || a.settings.Given("list") {
		from.List = a.settings.List
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
	if a.table, err = nft.Open(nft.Options{Hook: a.settings.Hook, Own: a.settings.Own, Progress: a.progress}); err != nil {
		return err
	}
	a.closing = append(a.closing, a.table.Close)
	claim, err := presence.Take(from.List, a.settings.StateDirectory, settings.DefaultState)
	if err != nil {
		return unit.ExplainHolder(err, "/proc")
	}
	a.closing = append(a.closing, func() error { claim.Close(); return nil })
	if claim.Stranger != nil {
		a.Log.Warn("other commands won't notice this agent", "error", claim.Stranger)
	}
	a.meter = accounting.NewMeter(accounting.MeterOptions{
		Table: a.table, Store: a.ledger, Initial: saved, SaveInterval: a.settings.SaveInterval, Log: a.Log, Board: a.board,
	})
	if a.settings.Warn.Any() {
		a.monthBefore, _ = a.month.query(ctx) // fails before the first save
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
		Progress: a.progress,
	}
	var notices []store.Notice
	a.ledger, saved, notices, err = store.Open(a.settings.StateDirectory, options)
	if locked, ok := errors.AsType[*store.LockedError](err); ok && (locked.PID == 0 || locked.Holder == store.ClientHolder) {
		waiting, cancel := context.WithTimeout(ctx, store.LockPatience)
		defer cancel()
		a.ledger, saved, notices, err = store.OpenWhenFree(waiting, a.settings.StateDirectory, options)
	}
	if errors.Is(err, fs.ErrPermission) { // who may not read it need not become root to learn that another agent runs
		err = cmp.Or(presence.RefuseRunning(a.settings.StateDirectory, settings.DefaultState), err)
	}
	if err != nil {
		return saved, unit.ExplainHolder(err, "/proc")
	}
	a.closing = append(a.closing, a.ledger.Close)
	unit.NoteState(a.Log, a.settings.StateDirectory, a.Lookup)
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
	found, err := a.load()
	if err != nil {
		a.logNotes(found)
		return failure.Wrong(err) // the table of an earlier agent goes on counting
	}
	if err := a.replaceOwnerMismatch(); err != nil {
		return err
	}
	err = a.applyForwarding(&found)
	a.logNotes(found)
	if len(found.Ports) == 0 {
		a.Log.Info("no port to count yet: waiting for the list of ports, which `ssmonitor setup` writes; --port and --shadowsocks name ports for this agent")
	}
	if err := errors.Join(err, a.meter.SetPorts(a.resolve(found.Ports))); err != nil {
		return err
	}
	a.giveLater()
	return nil
}

// resolve returns the ports with their current names, and has the meter know what clients
// used before the present ones. What it knows of that stays while it can't be read: metrics
// must not step up and back.
func (a *agent) resolve(ports accounting.Ports) accounting.Ports {
	named := a.ledger.ResolveNames(ports)
	earlier, err := a.ledger.Earlier()
	if err != nil {
		a.Log.Error("the metrics of clients may include what others used on their ports before", "error", err)
		return named
	}
	a.meter.SetEarlier(earlier)
	return named
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
	if a.settings.Hook.CountsForwarded() {
		conn, err := sockdiag.Open()
		a.board.Observe(health.Connections, err)
		if err == nil {
			a.sockets, source = conn, conn
			a.closing = append(a.closing, conn.Close)
		}
	} else if a.settings.Addresses.Any() {
		a.Log.Warn("--addresses has no effect with --hook container: connections to containers can't be seen")
	}
	a.connections = connections.NewMeter(source, nil, a.board)
	a.readings = newReadings(a.meter, a.connections, a.month, a.board, a.settings.Interval)
}

// close closes what is open, the last first, and removes what nobody may read while no agent
// runs. The counters go on counting.
func (a *agent) close() error {
	var errs []error
	for _, end := range slices.Backward(a.closing) {
		errs = append(errs, end())
	}
	a.runtime.remove()
	return errors.Join(errs...)
}
