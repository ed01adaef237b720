// Command ssmonitor counts how much each client of a Shadowsocks server uses,
// where each client has a port of its own.
//
// Each command is one file, which only wires the parts together. What several of them need
// is in flags.go, history.go and here.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/commandline"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
)

// Exit statuses, documented in the manual.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// exitAgain asks ssmonitor-setup.service to start the process again: EX_TEMPFAIL of
// sysexits.h.
const exitAgain = 75

// The library prints the version of --version by a variable of its own.
func init() { cli.VersionPrinter = printVersion }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(execute(ctx, os.Args, os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit status.
func execute(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	out := &checkedWriter{Writer: stdout}
	stderr = terminal.Writer(charset().Writer(stderr))
	return exitStatus(newApp(out, stderr).RunContext(ctx, pluginArguments(arguments)), out, stderr)
}

// exitCode ends a command that has said everything with an exit status.
type exitCode int

// Error returns a text for the developer.
func (c exitCode) Error() string { return fmt.Sprintf("the command ends with status %d", int(c)) }

// exitStatus writes the error and returns its exit status.
func exitStatus(err error, out *checkedWriter, stderr io.Writer) int {
	status := exitCode(exitFailed)
	switch {
	case err == nil && out.err == nil:
		return exitDone
	case err == nil:
		err = fmt.Errorf("writing the output: %w", out.err)
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, fs.ErrPermission):
		// A file that may not be read need not be wrong.
		if !errors.As(err, new(*nft.OpError)) && !errors.As(err, new(*failure.RemediedError)) {
			err = fmt.Errorf("%w: %s", err, unit.RightsRemedy(os.Getenv, os.Geteuid()))
		}
	case errors.As(err, new(*failure.WrongError)):
		status = exitUsage
	}
	if unit.Started(os.Getenv) {
		unit.NoteFailure(err)
	}
	fmt.Fprintf(stderr, "ssmonitor: %s\n", terminal.Error(err))
	return int(status)
}

// charset returns the characters that the terminal shows.
func charset() terminal.Charset { return terminal.CharsetOf(os.Getenv) }

// textWriter returns the writer for text that people read in a terminal.
func textWriter(c *cli.Context) io.Writer { return charset().Writer(c.App.Writer) }

// checkedWriter keeps the first error of a write, so that a command that prints to
// a full disk fails even if it does not check each write.
type checkedWriter struct {
	io.Writer
	err error
}

// Write writes to the underlying writer.
func (w *checkedWriter) Write(data []byte) (int, error) {
	n, err := w.Writer.Write(data)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:  "ssmonitor",
		Usage: "who uses how much of a Shadowsocks server, by port",
		Description: "ssmonitor counts what clients send and receive on every port of a Shadowsocks server: TCP and " +
			"UDP, IPv4 and IPv6. It creates nftables counters of its own and touches nothing else in the firewall.\n\n" +
			"Start with two commands, as root:\n\n" +
			"   ssmonitor setup   finds the ports in Shadowsocks' configuration and\n" +
			"                     begins to count\n" +
			"   ssmonitor run     keeps the totals and publishes the rates, until it\n" +
			"                     is stopped\n\n" +
			"Exit status: 0 done, 1 failed, 2 wrong usage or configuration.",
		Version: version(),
		// A comma is part of a name or a path: see repeated.
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		Commands: []*cli.Command{
			setupCommand(),
			runCommand(),
			teardownCommand(),
			netdataCommand(),
			metricsCommand(),
			checkCommand(),
			topCommand(),
			usageCommand(),
			clientCommand(),
			manualCommand(),
			completionCommand(),
			completeCommand(),
			versionCommand(),
			helpCommand(),
		},
	}
	commandline.Prepare(app)
	return app
}

// newLog returns the log on stderr, one line per event. Under systemd the
// journal adds the time.
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
