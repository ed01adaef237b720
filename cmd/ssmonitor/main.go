// Command ssmonitor counts how much each client of a Shadowsocks server uses,
// where each client has a port of its own.
//
// Each subcommand is one file, which only wires the parts together.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"

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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(execute(confined(ctx), os.Args, os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit status.
func execute(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	out := &checkedWriter{Writer: stdout}
	stderr = terminal.Writer(terminal.CharsetOf(os.Getenv).Writer(stderr))
	return exitStatus(newApp(out, stderr, openSavedHistory).RunContext(ctx, pluginArguments(arguments)), out, stderr)
}

// exitStatus writes the error and returns its exit status.
func exitStatus(err error, out *checkedWriter, stderr io.Writer) int {
	status := checkStatus(exitFailed)
	switch {
	case (err == nil || errors.Is(err, errPrinted)) && out.err == nil:
		return exitDone
	case errors.Is(err, fs.ErrPermission):
		// A file that may not be read need not be wrong.
		if !errors.As(err, new(*nft.OpError)) && !errors.As(err, new(*failure.RemediedError)) {
			err = fmt.Errorf("%w: %s", err, unit.RightsRemedy(os.Getenv, os.Geteuid()))
		}
	case errors.As(err, new(*failure.WrongError)):
		fmt.Fprintf(stderr, "ssmonitor: %s\n", terminal.Error(err))
		return exitUsage
	case errors.As(err, &status):
		return int(status) // the findings are printed
	case err == nil || errors.Is(err, errPrinted):
		err = fmt.Errorf("writing the output: %w", out.err)
	}
	fmt.Fprintf(stderr, "ssmonitor: %s\n", terminal.Error(err))
	return exitFailed
}

// charset returns the characters that the terminal shows.
func charset() terminal.Charset { return terminal.CharsetOf(os.Getenv) }

// textWriter returns the writer for text that people read in a terminal.
func textWriter(c *cli.Context) io.Writer { return charset().Writer(c.App.Writer) }

// errPrinted ends the command line before any command runs, after --version has
// printed the version.
var errPrinted = errors.New("printed")

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

// wrongUsage marks a mistake on the command line: exit status 2.
func wrongUsage(err error) error { return failure.Wrong(err) }

func newApp(stdout, stderr io.Writer, open openHistory) *cli.App {
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
		ExitErrHandler:            func(*cli.Context, error) {}, // execute decides
		OnUsageError:              onUsageError,
		Commands: []*cli.Command{
			setupCommand(),
			runCommand(),
			teardownCommand(),
			netdataCommand(),
			checkCommand(),
			topCommand(),
			usageCommand(open),
			clientCommand(open),
			manualCommand(),
			completionCommand(),
			completeCommand(),
			versionCommand(),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand("", c.App.Commands, c.Args().First())
			}
			writeHelp(c.App.Writer, appPage(c.App))
			return nil
		},
		Before: func(c *cli.Context) error {
			if !c.Bool("version") {
				return nil
			}
			return errors.Join(printVersion(c.App.Writer), errPrinted)
		},
	}
	addHelp(app)
	for _, command := range allCommands(app) {
		command.OnUsageError = onUsageError
	}
	return app
}

// onUsageError answers --help, which the flag package returns as an error because
// no such flag is defined, and suggests a flag in place of an unknown one.
func onUsageError(c *cli.Context, err error, _ bool) error {
	p, flags := appPage(c.App), c.App.Flags
	if command := commandOf(c); command.Command != nil {
		p, flags = commandPage(command), command.Flags
	}
	if errors.Is(err, flag.ErrHelp) {
		writeHelp(c.App.Writer, p)
		return nil
	}
	// The flag package has no type for this error.
	unknown, found := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !found {
		return wrongUsage(fmt.Errorf("%w: see %s --help", err, p.Name))
	}
	var known []string
	for _, flag := range flags {
		known = append(known, flag.Names()...)
	}
	suggestion := closest(unknown, known)
	if suggestion != "" {
		suggestion = dashed(suggestion)
	}
	return wrongUsage(fmt.Errorf("%s has no flag %s%s: see %s --help", p.Name, dashed(unknown), didYouMean(suggestion), p.Name))
}

// unknownCommand returns the error for a name that is none of the commands. parent
// is the command to which these belong; empty: the program.
func unknownCommand(parent string, commands []*cli.Command, name string) error {
	var known []string
	for _, command := range commands {
		if !command.Hidden {
			known = append(known, command.Name)
		}
	}
	program := strings.TrimSpace("ssmonitor " + parent)
	return wrongUsage(fmt.Errorf("there is no command %q%s: see %s --help",
		strings.TrimSpace(parent+" "+name), didYouMean(closest(name, known)), program))
}

func didYouMean(suggestion string) string {
	if suggestion == "" {
		return ""
	}
	return " (did you mean " + suggestion + "?)"
}

// closest returns the known word that is most similar to the given one, or "" if
// none is similar.
func closest(word string, known []string) string {
	const (
		boostThreshold, prefixSize = 0.7, 4 // as the algorithm's author chose them
		enough                     = 0.8
	)
	best, similarity := "", enough
	for _, candidate := range known {
		if s := smetrics.JaroWinkler(word, candidate, boostThreshold, prefixSize); len(candidate) > 1 && s > similarity {
			best, similarity = candidate, s
		}
	}
	return best
}

// noArguments fails if there are arguments that belong to no flag.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return unexpected(c, c.Args().First())
	}
	return nil
}

func unexpected(c *cli.Context, argument string) error {
	return wrongUsage(fmt.Errorf("%q is not expected here: see ssmonitor %s --help", argument, commandOf(c).path))
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
