package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting/store"
)

// calendarFlags say where the periods of usage begin, and for how long usage is
// kept.
func calendarFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "time-zone", EnvVars: environment("time-zone"), DefaultText: "the host's",
			Usage: "begin hours, days and months by the clock of `ZONE`, such as Asia/Tehran",
		},
		&cli.IntFlag{
			Name: "month-day", EnvVars: environment("month-day"), Value: 1,
			Usage: "begin months on this `DAY`, 1 to 28",
		},
		&cli.IntFlag{
			Name: "keep-hours", EnvVars: environment("keep-hours"), Value: 90,
			Usage: "keep usage by hour for `DAYS`",
		},
		&cli.IntFlag{
			Name: "keep-days", EnvVars: environment("keep-days"), Value: 731,
			Usage: "keep usage by day for `DAYS`; usage by month is kept for ever",
		},
	}
}

// storeOptions returns what the flags say.
func storeOptions(c *cli.Context, log *slog.Logger) (store.Options, error) {
	options := store.Options{Holder: "run", Log: log, Zone: time.Local, MonthDay: c.Int("month-day")}
	if name := c.String("time-zone"); name != "" {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return options, wrongUsage(fmt.Errorf("time-zone %q: want a name of the time zone database, such as Asia/Tehran or UTC", name))
		}
		options.Zone = zone
	}
	if options.MonthDay < 1 || options.MonthDay > 28 {
		return options, wrongUsage(fmt.Errorf("month-day %d: want a day from 1 to 28, which every month has", options.MonthDay))
	}
	for name, keep := range map[string]*time.Duration{"keep-hours": &options.KeepHours, "keep-days": &options.KeepDays} {
		const longest = 36500 // a hundred years
		if days := c.Int(name); days < 1 || days > longest {
			return options, wrongUsage(fmt.Errorf("%s %d: want 1 to %d days", name, days, longest))
		}
		*keep = time.Duration(c.Int(name)) * 24 * time.Hour
	}
	return options, nil
}
