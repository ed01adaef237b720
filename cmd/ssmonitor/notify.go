package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"ssmonitor/accounting"
	"ssmonitor/internal/terminal"
)

// rateInterval is how often new rates are sent for `systemctl status`: each
// message wakes systemd.
const rateInterval = 30 * time.Second

// notifier tells systemd about the agent, if systemd started it: sd_notify(3).
// The loop that reads calls it, so that systemd notices if the loop is stuck.
// Failures are ignored, since nothing can be done about them.
type notifier struct {
	send     func(state string)
	watchdog time.Duration // systemd aborts an agent that is silent for this long; 0: it does not

	state, rates string    // that systemd has
	statusSent   time.Time // when it got them
	aliveSent    time.Time // when it last got a sign of life
}

func newNotifier() *notifier {
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		timeout = 0
	}
	return &notifier{
		send:     func(state string) { _, _ = daemon.SdNotify(false, state) },
		watchdog: timeout,
	}
}

// tick is called once per interval. It sends a new state at once, new rates from
// time to time, and a sign of life when the next tick may be too late for it.
func (n *notifier) tick(now time.Time, interval time.Duration, state, rates string) {
	var lines []string
	if state != n.state || (rates != n.rates && (n.rates == "" || now.Sub(n.statusSent) >= rateInterval)) {
		lines = append(lines, "STATUS="+state+rates)
		n.state, n.rates, n.statusSent = state, rates, now
	}
	if n.watchdog > 0 && now.Sub(n.aliveSent) > n.watchdog/2-interval {
		lines = append(lines, daemon.SdNotifyWatchdog)
		n.aliveSent = now
	}
	if len(lines) > 0 {
		n.send(strings.Join(lines, "\n"))
	}
}

// alive sends a sign of life.
func (n *notifier) alive(now time.Time) {
	n.send(daemon.SdNotifyWatchdog)
	n.aliveSent = now
}

// progress sends a sign of life if the last one was a while ago. What takes many steps
// calls it in each.
func (n *notifier) progress(now time.Time) {
	if n.watchdog > 0 && now.Sub(n.aliveSent) > n.watchdog/4 {
		n.alive(now)
	}
}

// between ticks twice per watchdog timeout if the ticks of the interval are too
// far apart to be signs of life. Otherwise it never ticks.
func (n *notifier) between(interval time.Duration) (ticks <-chan time.Time, stop func()) {
	if n.watchdog == 0 || interval <= n.watchdog/2 {
		return nil, func() {}
	}
	ticker := time.NewTicker(n.watchdog / 2)
	return ticker.C, ticker.Stop
}

// status returns the two parts of the line that `systemctl status` shows.
func status(report *accounting.Report, err error) (state, rates string) {
	switch {
	case err != nil:
		line, _, _ := strings.Cut(terminal.Error(err), "\n")
		return "no rates: " + line, ""
	case len(report.Ports) == 0:
		return "no port to count yet: run ssmonitor setup", ""
	}
	state = "counting " + describeCount(len(report.Ports))
	if report.Interval > 0 {
		rates = fmt.Sprintf(", in %.0f kbit/s, out %.0f kbit/s", report.Total.In.Rate.Bytes*8/1000, report.Total.Out.Rate.Bytes*8/1000)
	}
	return state, rates
}
