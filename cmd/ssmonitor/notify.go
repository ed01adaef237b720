package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"ssmonitor/accounting"
)

// notify sends the state to systemd if systemd started the agent:
// sd_notify(3). A failure is ignored, since nothing can be done about it.
func (a *agent) notify(state string) { _, _ = daemon.SdNotify(false, state) }

// status returns the line that `systemctl status` shows.
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

// watchdogTicks ticks twice per watchdog timeout of systemd. Without a
// watchdog it never ticks.
func watchdogTicks() (ticks <-chan time.Time, stop func()) {
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil || timeout == 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(timeout / 2)
	return ticker.C, ticker.Stop
}
