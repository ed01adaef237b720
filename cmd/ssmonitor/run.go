package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
	"ssmonitor/output"
)

// socketGroup is who may read from the socket.
const socketGroup = "ssmonitor"

// metricsSocket is the name of systemd's socket for /metrics: its unit's
// FileDescriptorName.
const metricsSocket = "metrics"

// minReadGap bounds how often requests read the kernel.
const minReadGap = 200 * time.Millisecond

func runCommand() *cli.Command {
	directory := runtimeDirectory(os.Getenv)
	return &cli.Command{
		Name:  "run",
		Usage: "the agent: read the counters, keep the totals, publish the rates",
		Description: "run serves the list of ports that `ssmonitor setup` wrote, or the ports that --shadowsocks and\n" +
			"--port name, and follows their changes while it runs. It installs what is missing, puts right what\n" +
			"others change in its table, and publishes the rates once an interval. It needs CAP_NET_ADMIN and\n" +
			"nothing else. SIGTERM ends it, SIGHUP makes it read its sources again. With --ports the sources\n" +
			"in the settings of --config are for setup alone.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor run\n" +
			"   ssmonitor run --port 20000=alice --interval 1s --csv /tmp/ssmonitor.tmp\n" +
			"   ssmonitor run --shadowsocks /etc/shadowsocks/config.json --csv ''",
		Flags: append(append(sourceFlags(), calendarFlags()...), stateFlag(), configFlag(),
			&cli.DurationFlag{
				Name: "interval", EnvVars: environment("interval"), Value: defaultInterval,
				Usage: "read and publish once in this `TIME`",
			},
			&cli.DurationFlag{
				Name: "save-interval", EnvVars: environment("save-interval"), Value: defaultSave,
				Usage: "save the totals once in this `TIME`, and at the end",
			},
			&cli.StringFlag{
				Name: "csv", EnvVars: environment("csv"), Value: filepath.Join(directory, csvName), TakesFile: true,
				Usage: "write the rates to `FILE`; empty: none",
			},
			&cli.StringFlag{
				Name: "listen", EnvVars: environment("listen"),
				Usage: "answer GET /metrics on the TCP `ADDRESS`, such as 127.0.0.1:9924", DefaultText: "none",
			},
			&cli.StringFlag{
				Name: "socket", EnvVars: environment("socket"), Value: filepath.Join(directory, socketName), TakesFile: true,
				Usage: "answer readers on the unix socket `FILE`; empty: none",
			},
		),
		Action: run,
	}
}

func run(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	// Where the list is named, as in the unit, the file's own sources are for
	// setup alone: the agent opens no file with passwords.
	var skip []string
	if c.IsSet("ports") {
		skip = []string{"shadowsocks", "port"}
	}
	if err := applyConfig(c, skip...); err != nil {
		return err
	}
	agent, err := newAgent(c)
	if err != nil {
		return err
	}
	return errors.Join(agent.run(c.Context), agent.close())
}

// agent is what run wires together.
type agent struct {
	log      *slog.Logger
	interval time.Duration
	table    *nft.Table
	ledger   *store.Store
	claim    *presence.Claim
	meter    *accounting.Meter
	follower *sources.Follower
	csv      *output.CSVFile // nil: none
	socket   string          // empty: none
	address  string          // for /metrics; empty: none

	servers sync.WaitGroup
	failed  chan error // of a server, while it should serve
	hangup  chan os.Signal

	csvFault, readFault accounting.Fault
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
	if err := checkIntervals(c); err != nil {
		return nil, err
	}
	a := &agent{
		log:      newLog(c.App.ErrWriter),
		interval: c.Duration("interval"),
		follower: sources.Follow(from),
		socket:   c.String("socket"),
		address:  c.String("listen"),
		failed:   make(chan error, 1),
		hangup:   make(chan os.Signal, 1),
	}
	signal.Notify(a.hangup, syscall.SIGHUP)
	if path := c.String("csv"); path != "" {
		a.csv = output.NewCSVFile(path)
	}
	if err := errors.Join(makeRuntimeDirectory(os.Getenv), a.open(c, options, from.List)); err != nil {
		a.abandon()
		return nil, err
	}
	return a, nil
}

// makeRuntimeDirectory makes the directory that systemd makes otherwise. Where
// that is not allowed, whatever goes there says so.
func makeRuntimeDirectory(lookup func(string) string) error {
	if err := os.MkdirAll(runtimeDirectory(lookup), 0o755); err != nil && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("making the directory of the CSV file and the socket: %w", err)
	}
	return nil
}

// runSources returns where run takes the ports from: what the flags name, else
// the list. A list that was named is read beside them.
func runSources(c *cli.Context) (sources.Sources, error) {
	from, err := portSources(c)
	if len(from.Ports)+len(from.Shadowsocks) == 0 || c.IsSet("ports") {
		from.List = c.String("ports")
	}
	return from, err
}

func checkIntervals(c *cli.Context) error {
	if interval := c.Duration("interval"); interval < 100*time.Millisecond || interval > time.Hour {
		return wrongUsage(fmt.Errorf("interval %s: expected 100ms to 1h", interval))
	}
	if save := c.Duration("save-interval"); save < 0 || save > time.Hour {
		return wrongUsage(fmt.Errorf("save-interval %s: expected 0s to 1h", save))
	}
	return nil
}

// open takes the state and the table and puts the ports in force.
func (a *agent) open(c *cli.Context, options nft.Options, list string) error {
	keep, err := storeOptions(c, a.log)
	if err != nil {
		return err
	}
	ledger, saved, notices, err := store.Open(stateDirectory(c), keep)
	if err != nil {
		return err
	}
	a.ledger = ledger
	for _, notice := range notices {
		level := slog.LevelWarn
		if notice.Lost {
			level = slog.LevelError
		}
		a.log.Log(c.Context, level, notice.Text)
	}
	if a.table, err = nft.Open(options); err != nil {
		return err
	}
	if a.claim, err = presence.Take(list); err != nil {
		return err
	}
	a.meter = accounting.NewMeter(accounting.MeterOptions{
		Source: a.table, Store: ledger, Saved: saved,
		SaveInterval: c.Duration("save-interval"), Log: a.log,
	})
	if err := a.replaceOwnerMismatch(); err != nil {
		return err
	}
	result, err := a.follower.Load()
	a.logNotes(result)
	switch {
	case errors.Is(err, sources.ErrNoList):
	case err != nil:
		return wrongUsage(err)
	}
	if len(result.Ports) == 0 {
		a.log.Info("no port to count yet: waiting for the list of ports; `ssmonitor setup` writes it, --port and --shadowsocks name ports here")
	}
	return a.meter.SetPorts(ledger.SetPorts(result.Ports))
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
	defer cancel() // ends the servers, too
	if err := a.listen(ctx); err != nil {
		return err
	}
	if a.csv != nil {
		if err := a.csv.RemoveStale(); err != nil {
			a.log.Warn("the CSV file of an earlier run is in the way", "error", err)
		}
	}
	ticks := time.NewTicker(a.interval)
	defer ticks.Stop()
	watchdog, stopWatchdog := watchdogTicks()
	defer stopWatchdog()

	a.log.Info("counting", "ports", len(a.meter.Ports()), "interval", a.interval, "version", version())
	a.tick()
	a.notify(daemon.SdNotifyReady)
	for {
		select {
		case <-ctx.Done():
			a.notify(daemon.SdNotifyStopping)
			return nil
		case err := <-a.failed:
			return err
		case <-a.hangup:
			a.reload()
		case <-watchdog:
			// Sent by the loop that reads, so that a loop that is stuck is
			// noticed.
			a.notify(daemon.SdNotifyWatchdog)
		case <-ticks.C:
			if a.follower.Changed() || a.ledger.Renamed() {
				a.reload()
			}
			a.tick()
		}
	}
}

// listen serves readers: on the agent's own socket, on --listen, and on what
// systemd opened for /metrics.
func (a *agent) listen(ctx context.Context) error {
	source := output.NewCoalesced(feed{a.meter, a.interval}, minReadGap, time.Now)
	metrics := output.NewMetricsHandler(source, time.Now)
	inherited, err := activation.ListenersWithNames()
	if err != nil {
		return fmt.Errorf("taking over the sockets from systemd: %w", err)
	}
	for _, listener := range inherited[metricsSocket] {
		a.serve(ctx, listener, metrics)
	}
	if a.address != "" {
		listener, err := net.Listen("tcp", a.address)
		if err != nil {
			return fmt.Errorf("listening for /metrics: %w", err)
		}
		a.serve(ctx, listener, metrics)
	}
	if a.socket != "" {
		listener, err := output.ListenSocket(a.socket, socketGroup, a.log)
		if err != nil {
			return err
		}
		a.serve(ctx, listener, output.NewHandler(source, time.Now, a.log))
	}
	return nil
}

func (a *agent) serve(ctx context.Context, listener net.Listener, handler http.Handler) {
	a.servers.Go(func() {
		if err := output.Serve(ctx, listener, handler, a.log); err != nil {
			select {
			case a.failed <- err:
			default: // one failure is enough to end
			}
		}
	})
}

// reload takes the sources over again. What can't be read is said, and the
// ports in force stay.
func (a *agent) reload() {
	result, err := a.follower.Load()
	a.logNotes(result)
	if err != nil {
		a.log.Error("the sources of ports can't be read: the ports in force stay", "error", err)
		return
	}
	before := a.meter.Ports()
	if err := a.meter.SetPorts(a.ledger.SetPorts(result.Ports)); err != nil {
		a.log.Error("the new ports can't be counted yet", "error", err)
		return
	}
	added, removed := difference(before, result.Ports)
	a.log.Info("the ports were taken over", "ports", len(result.Ports), "added", added, "removed", removed)
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
func (a *agent) tick() {
	report, err := a.meter.Tick()
	switch a.readFault.Observe(err) {
	case accounting.FaultRaised:
		a.log.Error("the counters can't be read", "error", err)
	case accounting.FaultCleared:
		a.log.Info("the counters are read again")
	}
	a.notify(status(report, errors.Join(err, a.meter.Status().RepairError)))
	if a.csv == nil {
		return
	}
	if err != nil {
		_ = a.csv.Remove() // what it says is over; a failure shows at the next write
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

// close ends what newAgent began. The counters go on counting.
func (a *agent) close() error {
	signal.Stop(a.hangup)
	a.servers.Wait()
	var errs []error
	if a.csv != nil {
		errs = append(errs, a.csv.Remove())
	}
	return errors.Join(append(errs, a.meter.Flush(), a.claim.Close(), a.table.Close(), a.ledger.Close())...)
}

// abandon closes what a start that failed has opened. What is wrong is known
// already.
func (a *agent) abandon() {
	signal.Stop(a.hangup)
	if a.claim != nil {
		_ = a.claim.Close()
	}
	if a.table != nil {
		_ = a.table.Close()
	}
	if a.ledger != nil {
		_ = a.ledger.Close()
	}
}

// feed is the meter as the outputs see it.
type feed struct {
	meter    *accounting.Meter
	interval time.Duration
}

func (f feed) Report(context.Context) (*accounting.Report, error) { return f.meter.Refresh() }

func (f feed) Health() output.Health {
	status := f.meter.Status()
	return output.Health{LastRead: status.LastRead, Interval: f.interval, Err: errors.Join(status.LastError, status.RepairError)}
}
