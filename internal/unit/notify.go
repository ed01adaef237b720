package unit

import (
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// rateInterval is how often new rates are sent for `systemctl status`: each
// message wakes systemd.
const rateInterval = 30 * time.Second

// Notifier tells systemd about this process, if systemd started it: sd_notify(3).
// The process's loop calls it, so that systemd notices if the loop is stuck: a loop with
// ticks calls Tick at each, and Alive at those of Between; one without ticks calls Status and
// Alive; and what takes long calls Progress. Failures are ignored, since nothing can be done
// about them.
type Notifier struct {
	Send     func(state string)
	Watchdog time.Duration // systemd aborts a process that is silent for this long; 0: it does not

	state, rates string    // that systemd has
	statusSent   time.Time // when it got them

	mutex     sync.Mutex // a save, which makes progress, may be a server's
	aliveSent time.Time  // when it last got a sign of life
}

// NewNotifier returns a notifier for the unit that this process is, if it is one.
func NewNotifier() *Notifier {
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		timeout = 0
	}
	return &Notifier{
		Send:     func(state string) { _, _ = daemon.SdNotify(false, state) },
		Watchdog: timeout,
	}
}

// Ready says that the process has begun its work.
func (n *Notifier) Ready() { n.Send(daemon.SdNotifyReady) }

// Stopping says that the process ends.
func (n *Notifier) Stopping() { n.Send(daemon.SdNotifyStopping) }

// Status sends the line that `systemctl status` shows.
func (n *Notifier) Status(line string) { n.Send("STATUS=" + line) }

// Tick is called once per interval. It sends a new state at once, new rates from
// time to time, and a sign of life when the next tick may be too late for it.
func (n *Notifier) Tick(now time.Time, interval time.Duration, state, rates string) {
	var lines []string
	if state != n.state || (rates != n.rates && (n.rates == "" || now.Sub(n.statusSent) >= rateInterval)) {
		lines = append(lines, "STATUS="+state+rates)
		n.state, n.rates, n.statusSent = state, rates, now
	}
	if n.due(now, n.Watchdog/2-interval) {
		lines = append(lines, daemon.SdNotifyWatchdog)
	}
	if len(lines) > 0 {
		n.Send(strings.Join(lines, "\n"))
	}
}

// Alive sends a sign of life.
func (n *Notifier) Alive(now time.Time) {
	n.mutex.Lock()
	n.aliveSent = now
	n.mutex.Unlock()
	n.Send(daemon.SdNotifyWatchdog)
}

// Progress sends a sign of life if the last one was a while ago. What takes many steps
// calls it in each, in any goroutine.
func (n *Notifier) Progress(now time.Time) {
	if n.due(now, n.Watchdog/4) {
		n.Send(daemon.SdNotifyWatchdog)
	}
}

// due reports whether a sign of life is due since the last one was longer ago, and
// records it as sent.
func (n *Notifier) due(now time.Time, longer time.Duration) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.Watchdog == 0 || now.Sub(n.aliveSent) <= longer {
		return false
	}
	n.aliveSent = now
	return true
}

// Between ticks twice per watchdog timeout if the ticks of the interval are too
// far apart to be signs of life. Otherwise it never ticks.
func (n *Notifier) Between(interval time.Duration) (ticks <-chan time.Time, stop func()) {
	if n.Watchdog == 0 || interval <= n.Watchdog/2 {
		return nil, func() {}
	}
	ticker := time.NewTicker(n.Watchdog / 2)
	return ticker.C, ticker.Stop
}
