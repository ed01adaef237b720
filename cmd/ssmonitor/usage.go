package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/atomicfile"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
	"ssmonitor/output/api"
	"ssmonitor/output/report"
)

func usageCommand() *cli.Command {
	return &cli.Command{
		Name:  "usage",
		Usage: "who used how much: by hour, day, week, month or in total",
		Description: "usage reports what the server received from each client and sent to it, which is what the client uploaded and " +
			"downloaded, by default in the current month. It works " +
			"whether the agent runs or not, and asks the agent that runs for what is not saved yet. It is for root and members of the group " + settings.Group + ".\n\n" +
			"--since and --until take a month, a day or a time: 2026-11, 2026-11-24, 2026-11-24T16:00 or with an " +
			"offset, 2026-11-24T16:00:00Z. A month or day named by --until is part of the report. --last 7d is " +
			"today and the six days before: h, d, w, mo and y are hours, days, weeks, months and years. " +
			"--last takes today and yesterday as well, and week and month for the last one that is over. Weeks begin " +
			"on Monday.\n\n" +
			"Without --by, usage reports one sum: of the current month, or of the time that is named. Without a time, " +
			"--by day and --by week report the current month, --by hour today, and --by month and --by total " +
			"all recorded time. A client without a name is selected by its port: 20000 or \"port 20000\".\n\n" +
			"In the file of --config, warn is one limit for all clients, a list, or a map of clients and limits: " +
			"\"warn: 100GB\", \"warn: [100GB, alice=50GB, bob=none]\" or \"warn: {alice: 50GB}\".\n\n" +
			"Examples:\n\n" +
			"   ssmonitor usage\n" +
			"   ssmonitor usage --last 7d --top 10\n" +
			"   ssmonitor usage --last yesterday\n" +
			"   ssmonitor usage --by day --client alice --client bob\n" +
			"   ssmonitor usage --by month --since 2026-01 --format csv\n" +
			"   ssmonitor usage --since 2026-10 --format html --output october.html",
		Flags: append(described(settingFlags("warn", "state", "socket"), "socket", askSocket),
			&cli.StringFlag{Name: "by", Usage: "report each `hour|day|week|month`, or the total of all recorded time", DefaultText: "one sum of the current month"},
			&cli.StringFlag{Name: "since", Usage: "begin with this `TIME`"},
			&cli.StringFlag{Name: "until", Usage: "end with this `TIME`"},
			&cli.StringFlag{Name: "last", Usage: "report `today|yesterday|week|month`, the last week or month that is over, or a time up to now such as 24h, 7d, 4w, 3mo or 1y"},
			&cli.StringSliceFlag{Name: "client", Usage: "report only the client with this `NAME`, repeatable"},
			&cli.StringSliceFlag{Name: "port", Usage: "report only the port with this `NUMBER`, repeatable"},
			&cli.StringFlag{Name: "top", Usage: "show only this `NUMBER` of clients, those with the largest usage, and the others as one"},
			&cli.StringFlag{Name: "sort", Usage: "sort clients by `usage|name|in|out`", Value: string(usage.SortUsage)},
			&cli.StringFlag{Name: "format", Usage: "write `table|csv|json|html`", Value: formatTable},
			&cli.BoolFlag{Name: "json", Usage: "the same as --format json"},
			&cli.StringFlag{Name: "output", Usage: "write to `FILE`, which is replaced atomically", DefaultText: "the terminal"},
		),
		Action: printUsage,
	}
}

// The formats of a report.
const (
	formatTable = "table"
	formatCSV   = "csv"
	formatJSON  = "json"
	formatHTML  = "html"
)

func printUsage(c *cli.Context) error {
	loaded, err := inputs(c, settings.PeriodKeys...).Load()
	if err != nil {
		return err
	}
	format := c.String("format")
	if c.Bool("json") {
		if c.IsSet("format") && format != formatJSON {
			return failure.Wrong(fmt.Errorf("--json and --format %s exclude each other: see ssmonitor usage --help", format))
		}
		format = formatJSON
	}
	write, err := usageWriter(c, format)
	if err != nil {
		return err
	}
	request := usage.ReadRequest(c.String, c.StringSlice)
	request.Course = format == formatHTML
	latest := latestUsage{socket: loaded.Socket, state: loaded.StateDirectory}
	history := store.History{
		Directory: loaded.StateDirectory, Calendar: loaded.Calendar(),
		Unsaved: func() accounting.Unsaved { return latest.unsaved(c.Context) },
	}
	usageReport, err := usage.NewReport(c.Context, history, request, loaded.Warn, time.Now())
	if err != nil {
		return historyError(err, loaded.StateDirectory)
	}
	if latest.err != nil {
		fmt.Fprintf(c.App.ErrWriter, "note: what was read since the last save is missing: %s\n", terminal.Error(latest.err))
	}
	return writeUsage(c, func(w io.Writer) error { return write(w, usageReport) })
}

// usageWriter returns the function that writes the requested format.
func usageWriter(c *cli.Context, format string) (func(io.Writer, *usage.Report) error, error) {
	switch format {
	case formatTable:
		colored := c.String("output") == "" && showsColors(c.App.Writer, os.Getenv)
		return func(w io.Writer, usageReport *usage.Report) error {
			return report.WriteTable(w, usageReport, colored, charset())
		}, nil
	case formatCSV:
		return report.WriteCSV, nil
	case formatJSON:
		return api.WriteUsage, nil
	case formatHTML:
		return report.WriteHTML, nil
	default:
		return nil, failure.Wrong(fmt.Errorf("format %q: want table, csv, json or html", format))
	}
}

// showsColors reports whether w is a terminal on which colours are wanted
// (https://no-color.org).
func showsColors(w io.Writer, lookup func(string) string) bool {
	return lookup("NO_COLOR") == "" && lookup("TERM") != "dumb" && isTerminal(w)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w any) bool {
	if checked, wrapped := w.(*checkedWriter); wrapped {
		w = checked.Writer
	}
	file, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// writeUsage writes to the command's writer, or to --output in such a way that
// readers of the file never see a part of it.
func writeUsage(c *cli.Context, write func(io.Writer) error) error {
	path := c.String("output")
	if path == "" {
		return write(c.App.Writer)
	}
	var content bytes.Buffer
	if err := write(&content); err != nil {
		return err
	}
	umask := syscall.Umask(0o077)
	syscall.Umask(umask)
	if err := atomicfile.Write(path, content.Bytes(), 0o644&^fs.FileMode(umask)); err != nil {
		return fmt.Errorf("writing the usage: %w", err)
	}
	return nil
}
