package setup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/health"
	"ssmonitor/internal/landlock"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/throttle"
	"ssmonitor/internal/ticker"
	"ssmonitor/internal/unit"
)

const (
	// followInterval is the time between two looks at the files.
	followInterval = time.Second
	// followRows is the most rows of a table in the log, which others need as well.
	followRows = 100
	// followRetry is the time after which a setup that failed is tried again
	// though no file has changed.
	followRetry = 10 * time.Second
	// setupShare and setupBurst bound the processor time of setups: somebody may write
	// large configurations all the time.
	setupShare = 10
	setupBurst = 5 * time.Second
)

// ErrAgain ends a process that has to read what its enclosure hides. Nothing opens that
// again but a new process.
var ErrAgain = errors.New("there is another place to read: starting again, since this process may not open it")

// follower sets up again whenever something that setup reads changes.
type follower struct {
	FollowOptions

	// What the last setup has read.
	settingsFile, files *sources.Follower
	tracker             *publishing.Tracker

	notifier  *unit.Notifier
	enclosure enclosure
	budget    throttle.Budget

	began     time.Time              // the last setup
	installed *accounting.Forwarding // with the list by the last setup; nil: it has failed, or there was none
	done      bool                   // whether a setup has succeeded, and ports are in force
	fault     health.Fault
	news      finding.News // of the remarks
	state     string       // that systemd has
}

// FollowOptions are what setup is given that follows changes.
type FollowOptions struct {
	Inputs settings.Inputs // where the settings are given, which may change
	Out    io.Writer       // receives the list of ports whenever it has changed
	Log    *slog.Logger
	Lookup func(variable string) string // of the environment
}

// Follow sets up, and again whenever something changes, until ctx ends. It returns
// ErrAgain if another process has to go on.
func Follow(ctx context.Context, options FollowOptions) error {
	withoutFile := options.Inputs
	withoutFile.File = settings.NoFile
	if _, err := withoutFile.Load(); err != nil { // a mistake on the command line
		return err
	}
	unit.LimitMemory(unit.HeapShareOfSetup)
	f := &follower{FollowOptions: options, notifier: unit.NewNotifier(), budget: throttle.Budget{Share: setupShare, Burst: setupBurst}}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	if unit.Started(options.Lookup) {
		f.enclosure = enclosure{restrict: landlock.Restrict}
	}
	if err := f.setUp(); err != nil && !errors.As(err, new(*failure.WrongError)) {
		return err
	}
	f.notifier.Ready()
	return f.follow(ctx, hangup)
}

// follow looks for changes until ctx ends. It compares attributes of files, as
// the agent does, since no event of the kernel covers files that do not exist yet,
// network file systems and the logs of databases alike.
func (f *follower) follow(ctx context.Context, hangup <-chan os.Signal) error {
	ticks, err := ticker.New(followInterval)
	if err != nil {
		return err
	}
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			f.notifier.Stopping()
			return nil
		case <-hangup:
		case <-ticks.C:
			f.notifier.Progress(time.Now())
			if !f.outdated() {
				continue
			}
		}
		if err := f.setUp(); errors.Is(err, ErrAgain) { // others are logged
			f.Log.Info(err.Error())
			return err
		}
	}
}

func (f *follower) outdated() bool {
	now := time.Now()
	if f.budget.Spent(now) {
		return false
	}
	failing := f.fault.Failing() && now.Sub(f.began) >= followRetry
	return failing || f.settingsFile.Changed() || f.files.Changed() || f.tracker != nil && f.tracker.Outdated(0)
}

// setUp sets up once. It prints the list if that has changed, and logs a failure
// and each remark once.
func (f *follower) setUp() (err error) {
	f.began = time.Now()
	var report *Report
	var remarks []finding.Remark
	f.budget.Spend(f.began, func() { report, remarks, err = f.attempt() })
	if errors.Is(err, ErrAgain) {
		return err
	}
	f.news.Log(f.Log, remarks)
	state := "no port to count yet"
	switch {
	case errors.Is(err, ErrNoPort):
		err = nil
		if f.done {
			state = "no port found; the ports in force stay"
		}
		if state != f.state {
			f.Log.Info(state + ": waiting for a Shadowsocks configuration")
		}
	case err != nil:
		reason, _, _ := strings.Cut(terminal.Error(err), "\n")
		state = "the ports in force stay: " + reason
	default:
		state = terminal.Count(report.count(), "port")
		if !f.done || report.changed() {
			err = report.WriteTable(f.Out, terminal.CharsetOf(f.Lookup), followRows)
		}
		f.done = report.count() > 0
	}
	if err != nil {
		f.installed = nil
	}
	f.fault.Log(f.Log, err, "setup failed; the ports in force stay", "setup succeeds again")
	f.state = state
	f.notifier.Status(state)
	return err
}

// attempt is a setup with the settings, and the files that they name, as they are
// now.
func (f *follower) attempt() (report *Report, remarks []finding.Remark, err error) {
	f.settingsFile, f.files = sources.Watch(f.Inputs.FilePath()), sources.Watch()
	if err := f.enclosure.admit(f.settingsFile.Places()); err != nil {
		return nil, nil, err
	}
	loaded, err := f.Inputs.Load()
	if err != nil {
		return nil, nil, err
	}
	from := Sources(loaded)
	from.Following = true
	from.Progress = func() { f.notifier.Progress(time.Now()) }
	if err := f.enclosure.enter(f.Log, append(f.settingsFile.Places(), from.Places()...), loaded.List); err != nil {
		return nil, nil, err
	}
	f.files = sources.Follow(from)
	if f.tracker == nil || !f.tracker.Follows(loaded.Hook) {
		f.tracker = publishing.NewTracker(loaded.Hook)
	}
	found, err := find(f.files, f.tracker, loaded)
	if err != nil {
		return nil, found.Remarks, unit.HiddenError(err, f.Lookup)
	}
	found.progress = from.Progress
	report, remarks, err = f.apply(loaded, found)
	return report, append(found.Remarks, remarks...), err
}

// apply applies what was found. If the table was installed for the list before, and for
// what is forwarded, and the list is the same, the table is the agent's concern.
func (f *follower) apply(loaded *settings.Settings, found *Found) (report *Report, remarks []finding.Remark, err error) {
	installed := f.installed != nil && found.Forwarding.Equal(*f.installed)
	f.installed = &found.Forwarding
	if installed {
		report, remarks, err = Compare(loaded, found)
		if err != nil || !report.changed() {
			return report, remarks, err
		}
	}
	return Apply(loaded, found)
}
