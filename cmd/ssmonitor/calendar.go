package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for --zone on hosts and in containers without it

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
)

// calendarFlags returns the flags that divide usage into periods.
func calendarFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "zone", EnvVars: environment("zone"),
			Usage: "begin days and months at midnight in the time `ZONE`, such as Asia/Tehran", DefaultText: "the host's",
		},
		&cli.IntFlag{
			Name: "month-day", EnvVars: environment("month-day"), Value: 1,
			Usage: "begin months on this `DAY`, 1 to 28",
		},
	}
}

// Defaults of the retention flags.
const (
	defaultKeepHours = "90d"
	defaultKeepDays  = "2y"
)

// retentionFlags returns the flags for how long usage is kept.
func retentionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "keep-hours", EnvVars: environment("keep-hours"), Value: defaultKeepHours,
			Usage: "keep the usage of each hour for this `TIME`, in days, weeks or years: 90d, 12w, 2y",
		},
		&cli.StringFlag{
			Name: "keep-days", EnvVars: environment("keep-days"), Value: defaultKeepDays,
			Usage: "keep the usage of each day for this `TIME`; months are kept for ever",
		},
	}
}

// parseKeep parses the value of --keep-hours or --keep-days.
func parseKeep(flag, text string) (time.Duration, error) {
	const day, mostDays = 24 * time.Hour, 100 * 365
	digits := strings.TrimRight(text, "dwy")
	n, err := strconv.ParseUint(digits, 10, 16)
	days := map[string]uint64{"d": 1, "w": 7, "y": 365}[text[len(digits):]] * n
	if err != nil || days == 0 || days > mostDays {
		return 0, wrongUsage(&accounting.InvalidError{Name: flag, Text: text, Want: "a time from 1d to 100y in days, weeks or years, as in 90d, 12w or 2y"})
	}
	return time.Duration(days) * day, nil
}

// storeOptions returns the options of the store from the flags.
func storeOptions(c *cli.Context) (store.Options, error) {
	zone, monthDay, err := usageCalendar(c)
	hours, hoursErr := parseKeep("keep-hours", c.String("keep-hours"))
	days, daysErr := parseKeep("keep-days", c.String("keep-days"))
	return store.Options{
		Holder: runHolder, Zone: zone, MonthDay: monthDay, KeepHours: hours, KeepDays: days, Boot: os.Getenv("BOOT_ID"),
	}, errors.Join(err, hoursErr, daysErr)
}

// usageCalendar returns the zone and the day on which a month begins.
func usageCalendar(c *cli.Context) (zone *time.Location, monthDay int, err error) {
	monthDay = c.Int("month-day")
	if monthDay < 1 || monthDay > 28 {
		return nil, 0, wrongUsage(fmt.Errorf("month-day %d: want 1 to 28, since not every month has more days", monthDay))
	}
	zone, err = loadZone(c.String("zone"))
	return zone, monthDay, wrongUsage(err)
}

// loadZone returns the zone with the name, or the zone of the host if the name is
// empty.
func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return hostZone(), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, &accounting.InvalidError{Name: "zone", Text: name, Want: "a name of the time zone database, such as Europe/Berlin or UTC"}
	}
	return zone, nil
}

// hostZone returns the zone of TZ or /etc/localtime, under its name if that is
// known.
func hostZone() *time.Location {
	name := os.Getenv("TZ")
	if name == "" {
		target, _ := os.Readlink("/etc/localtime") // else the zone has no name
		_, name, _ = strings.Cut(target, "zoneinfo/")
	}
	if zone, err := time.LoadLocation(name); err == nil && name != "" {
		return zone
	}
	return time.Local
}
