// Command ssmonitor counts how much each client of a Shadowsocks server uses,
// where each client has a port of its own.
//
// Each subcommand is one file, which only wires the parts together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit statuses, as the README promises them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(execute(ctx, os.Args, os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit status.
func execute(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	err := newApp(stdout, stderr).RunContext(ctx, pluginArguments(arguments))
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, new(*usageError)):
		fmt.Fprintf(stderr, "ssmonitor: %v\n", err)
		return exitUsage
	case errors.Is(err, errChecked):
		return exitFailed // check has said what is wrong
	}
	fmt.Fprintf(stderr, "ssmonitor: %v\n", err)
	return exitFailed
}

// usageError is a command line or configuration that can't be followed: exit
// status 2.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func wrongUsage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:  "ssmonitor",
		Usage: "who uses how much of a Shadowsocks server, by port",
		Description: "ssmonitor counts, for every port of a Shadowsocks server, what clients send and receive: TCP and\n" +
			"UDP, IPv4 and IPv6. It makes nftables counters of its own and touches nothing else in the firewall.\n\n" +
			"Start with two commands, as root:\n\n" +
			"   ssmonitor setup      finds the ports in Shadowsocks' configuration and begins to count\n" +
			"   ssmonitor run        keeps the totals and publishes the rates, until it is stopped\n\n" +
			"Exit status: 0 done, 1 failed, 2 wrong usage or configuration.",
		Version:              version(),
		HideVersion:          true,
		Suggest:              true,
		EnableBashCompletion: true,
		// A comma is part of a name or a path: see repeated.
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {}, // execute decides
		OnUsageError:              onUsageError,
		Commands: []*cli.Command{
			setupCommand(),
			runCommand(),
			teardownCommand(),
			netdataCommand(),
			checkCommand(),
			manualCommand(),
			completionCommand(),
			versionCommand(),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return wrongUsage(fmt.Errorf("there is no command %q: see ssmonitor --help", c.Args().First()))
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, command := range app.Commands {
		command.OnUsageError = onUsageError
	}
	return app
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	name := "ssmonitor"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != name {
		name += " " + c.Command.Name
	}
	return wrongUsage(fmt.Errorf("%w: see %s --help", err, name))
}

// noArguments refuses words that no flag takes.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return unexpected(c, c.Args().First())
	}
	return nil
}

func unexpected(c *cli.Context, argument string) error {
	return wrongUsage(fmt.Errorf("%q is not expected here: see ssmonitor %s --help", argument, c.Command.Name))
}

// newLog returns the log on stderr, one line an event. Under systemd the
// journal has the time already.
func newLog(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{}
	if os.Getenv("JOURNAL_STREAM") != "" {
		options.ReplaceAttr = func(groups []string, attribute slog.Attr) slog.Attr {
			if len(groups) == 0 && attribute.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attribute
		}
	}
	return slog.New(slog.NewTextHandler(w, options))
}
