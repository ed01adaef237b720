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

	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/atomicfile"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/output/api"
	"ssmonitor/output/report"
)

func usageCommand() *cli.Command {
	return &cli.Command{
		Name:  "usage",
		Usage: "who used how much: by hour, day, month or in total",
		Description: "usage reports what each client received and sent, by default in the current month. It works " +
			"whether the agent runs or not, for root and members of the group " + settings.Group + ".\n\n" +
			"--since and --until take a month, a day or a time: 2026-11, 2026-11-24, 2026-11-24T16:00 or with an " +
			"offset, 2026-11-24T16:00:00Z. A month or day named by --until is part of the report. --last 7d is " +
			"today and the six days before: h, d, w, mo and y are hours, days, weeks, months and years. " +
			"Without a time, --by day reports the current month, --by hour today, and --by month and --by total " +
			"all recorded time. A client without a name is selected by its port: 20000 or \"port 20000\".\n\n" +
			"In the file of --config, warn is one limit for all clients, a list, or a map of clients and limits: " +
			"\"warn: 100GB\", \"warn: [100GB, alice=50GB, bob=none]\" or \"warn: {alice: 50GB}\".\n\n" +
			"Examples:\n\n" +
			"   ssmonitor usage\n" +
			"   ssmonitor usage --last 7d --top 10\n" +
			"   ssmonitor usage --by day --client alice --client bob\n" +
			"   ssmonitor usage --by month --since 2026-01 --format csv\n" +
			"   ssmonitor usage --since 2026-10 --format html --output october.html",
		Flags: append(settingFlags("warn", "state"),
			&cli.StringFlag{Name: "by", Usage: "report each `hour|day|month`, or the total", DefaultText: "total"},
			&cli.StringFlag{Name: "since", Usage: "begin with this `TIME`"},
			&cli.StringFlag{Name: "until", Usage: "end with this `TIME`"},
			&cli.StringFlag{Name: "last", Usage: "report the last `TIME`, such as 24h, 7d, 4w, 3mo or 1y"},
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
	loaded, err := inputs(c).Load()
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
	usageReport, err := usage.NewReport(c.Context, store.History{Directory: loaded.StateDirectory}, request, loaded.Warn, time.Now())
	if err != nil {
		return historyError(err, loaded.StateDirectory)
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
