package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/landlock"
	"ssmonitor/internal/terminal"
	"ssmonitor/nft"
)

const (
	// followInterval is the time between two looks at the files.
	followInterval = time.Second
	// followRows is the most rows of a table in the log, which others need as well.
	followRows = 100
	// followRetry is the time after which a setup that failed is tried again
	// though no file has changed.
	followRetry = 10 * time.Second
	// setupShare and setupBurst bound the processor time of setups, as rulesetShare and
	// rulesetBurst do that of looks at the ruleset: somebody may write large
	// configurations all the time.
	setupShare = 10
	setupBurst = time.Second
)

// setupFollower sets up again whenever something that setup reads changes.
type setupFollower struct {
	command *cli.Context // without the settings of the file
	log     *slog.Logger
	// What the last setup has read; settings is of the file with the settings.
	settings, files *sources.Follower
	publisher       publisher
	forwarding      accounting.Forwarding // of the last setup

	notifier  *notifier
	enclosure enclosure

	fault  accounting.Fault
	last   time.Time     // when the last setup began
	debt   time.Duration // of processor time beyond the share, when it began, and its own
	failed bool          // whether it failed
	done   bool          // whether a setup has succeeded
	said   []string      // the notes of the last setup
	state  string        // that systemd has
}

func followSetup(c *cli.Context) error {
	if c.Bool("dry-run") || c.Bool("json") {
		return wrongUsage(errors.New("--follow excludes --dry-run and --json: see ssmonitor setup --help"))
	}
	if _, _, err := setupSettings(c); err != nil { // a mistake on the command line
		return err
	}
	limitMemory(heapShareOfSetup)
	f := &setupFollower{command: c, log: newLog(c.App.ErrWriter), notifier: newNotifier()}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	if inUnit(os.Getenv) {
		f.enclosure = enclosure{restrict: landlock.Restrict}
	}
	if err := f.setUp(); err != nil && !errors.As(err, new(*usageError)) {
		return err
	}
	f.notifier.send(daemon.SdNotifyReady)
	return f.follow(c.Context, hangup)
}

// follow looks for changes until ctx ends. It compares attributes of files, as
// the agent does, since no event of the kernel covers files that do not exist yet,
// network file systems and the logs of databases alike.
func (f *setupFollower) follow(ctx context.Context, hangup <-chan os.Signal) error {
	ticks, err := newTicker(followInterval)
	if err != nil {
		return err
	}
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			f.notifier.send(daemon.SdNotifyStopping)
			return nil
		case <-hangup:
		case <-ticks.C:
			f.notifier.progress(time.Now())
			if !f.outdated() {
				continue
			}
		}
		if err := f.setUp(); errors.Is(err, errOutside) { // others are logged
			f.log.Info(err.Error())
			return checkStatus(exitAgain)
		}
	}
}

func (f *setupFollower) outdated() bool {
	since := time.Since(f.last)
	if debtAfter(f.debt, since, setupShare) > setupBurst {
		return false
	}
	failing := f.failed && since >= followRetry
	return failing || f.settings.Changed() || f.files.Changed() || f.publisher.outdated()
}

// setUp sets up once. It prints the list if that has changed, and logs a failure
// and each note once.
func (f *setupFollower) setUp() error {
	now := time.Now()
	f.debt, f.last = debtAfter(f.debt, now.Sub(f.last), setupShare), now
	before := processorTime()
	report, notes, err := f.attempt()
	f.debt += processorTime() - before
	if errors.Is(err, errOutside) {
		return err
	}
	f.sayNew(notes)
	state := "no port to count yet"
	switch {
	case errors.Is(err, errNoPort):
		err = nil
		if f.done {
			state = "no port found; the ports in force stay"
		}
		if state != f.state {
			f.log.Info(state + ": waiting for a Shadowsocks configuration")
		}
	case err != nil:
		reason, _, _ := strings.Cut(terminal.Error(err), "\n")
		state = "the ports in force stay: " + reason
	default:
		state = describeCount(report.count())
		if !f.done || report.changed() {
			err = report.writeTable(textWriter(f.command), followRows)
		}
		f.done = true
	}
	f.failed = err != nil
	switch f.fault.Observe(err) {
	case accounting.FaultRaised:
		f.log.Error("setup failed; the ports in force stay", "error", err)
	case accounting.FaultCleared:
		f.log.Info("setup succeeds again")
	}
	f.state = state
	f.notifier.send("STATUS=" + state)
	return err
}

// attempt is a setup with the settings, and the files that they name, as they are
// now.
func (f *setupFollower) attempt() (report *setupReport, notes []error, err error) {
	c, err := f.withoutSettings()
	if err != nil {
		return nil, nil, err
	}
	f.settings = sources.Follow(sources.Sources{Watched: settingsPaths(c)})
	_, _ = f.settings.Load() // reads nothing
	f.files = sources.Follow(sources.Sources{})
	settings := (&sources.Sources{Watched: settingsPaths(c)}).Places()
	if err := f.enclosure.admit(settings); err != nil {
		return nil, nil, err
	}
	if err := applyConfig(c); err != nil {
		return nil, nil, err
	}
	options, from, err := setupSettings(c)
	if err != nil {
		return nil, nil, err
	}
	from.Progress = func() { f.notifier.progress(time.Now()) }
	if err := f.enclosure.enter(f.log, append(settings, from.Places()...), c.String("ports")); err != nil {
		return nil, nil, err
	}
	f.files = sources.Follow(from)
	f.publisher.hook = options.Hook
	found, forwarding, err := findPorts(f.files, &f.publisher, options)
	if err != nil {
		return nil, found.Notes, hiddenError(err, os.Getenv)
	}
	installed := f.done && !f.failed && forwarding.Equal(f.forwarding)
	report, notes, err = applySetup(c, options, found, forwarding, installed)
	f.forwarding = forwarding
	return report, append(found.Notes, notes...), err
}

// setupSettings returns how to count and where the ports come from.
func setupSettings(c *cli.Context) (nft.Options, sources.Sources, error) {
	options, optionsErr := tableOptions(c)
	from, sourcesErr := setupSources(c)
	return options, from, errors.Join(optionsErr, sourcesErr)
}

// withoutSettings returns the command as the command line and the environment
// give it, so that the file with the settings can be applied anew.
func (f *setupFollower) withoutSettings() (*cli.Context, error) {
	command := setupCommand()
	flags := flag.NewFlagSet(command.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, option := range command.Flags {
		if err := option.Apply(flags); err != nil {
			return nil, wrongUsage(err)
		}
		name := option.Names()[0]
		if !f.command.IsSet(name) {
			continue
		}
		values := []string{fmt.Sprint(f.command.Value(name))}
		if _, repeatable := option.(*cli.StringSliceFlag); repeatable {
			values = f.command.StringSlice(name)
		}
		for _, value := range values {
			if err := flags.Set(name, value); err != nil {
				return nil, wrongUsage(fmt.Errorf("--%s: %w", name, err))
			}
		}
	}
	c := cli.NewContext(f.command.App, flags, nil)
	c.Command = command
	return c, nil
}

// settingsPaths returns the file with the settings, if there may be one.
func settingsPaths(c *cli.Context) []string {
	if path := c.String("config"); path != noConfig {
		return []string{configPath(path)}
	}
	return nil
}

// sayNew logs the notes that were not among those of the last setup.
func (f *setupFollower) sayNew(notes []error) {
	var said []string
	for _, note := range notes {
		text := note.Error()
		if !slices.Contains(f.said, text) && !slices.Contains(said, text) {
			logNote(f.log, note)
		}
		said = append(said, text)
	}
	f.said = said
}
