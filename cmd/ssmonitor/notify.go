package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"ssmonitor/accounting"
)

// notify tells systemd, where it started us: sd_notify(3). That it can't be
// told is nothing to act upon.
func (a *agent) notify(state string) { _, _ = daemon.SdNotify(false, state) }

// status is one line for `systemctl status`.
func status(report *accounting.Report, err error) string {
	switch {
	case err != nil:
		line, _, _ := strings.Cut(err.Error(), "\n")
		return "STATUS=no rates: " + line
	case len(report.Ports) == 0:
		return "STATUS=no port to count yet: run ssmonitor setup"
	case report.Interval == 0:
		return "STATUS=counting " + describeCount(len(report.Ports))
	}
	return fmt.Sprintf("STATUS=counting %s, in %.0f kbit/s, out %.0f kbit/s", describeCount(len(report.Ports)),
		report.Total.In.Rate.Bytes*8/1000, report.Total.Out.Rate.Bytes*8/1000)
}

// watchdogTicks ticks twice in the time in which systemd wants a sign of life,
// never where it wants none.
func watchdogTicks() (ticks <-chan time.Time, stop func()) {
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil || timeout == 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(timeout / 2)
	return ticker.C, ticker.Stop
}
