package netdata

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/output/api"
)

// PluginName is the binary's name in Netdata's directory of plugins. Called by this name,
// it runs the subcommand netdata.
const PluginName = "ssmonitor.plugin"

// Plugin is Netdata's external plugin: it regularly asks the agent for a report
// and prints it as charts.
//
// While the agent is not running, the plugin prints no values, which is a gap in
// the charts, and keeps trying: Netdata disables a plugin that exits before it
// has delivered a value. A blank line each second shows Netdata that the plugin
// is alive (Netdata since 1.41 stops a plugin that is silent for two minutes).
// The write also fails once Netdata has ended: for one before 1.37 that was killed,
// it is the only sign.
type Plugin struct {
	Agent    Reports
	Seconds  int       // between two values; at least 1, see UpdateEvery
	MaxPorts int       // that have charts of their own, see newChartWriter
	Stdin    io.Reader // from Netdata; its end, or the word QUIT, stops the plugin; nil: none, see PluginStdin
	Stdout   io.Writer // to Netdata; nothing else may write to it
	Log      *slog.Logger
	Netdata  string // its version, as in NETDATA_VERSION; empty: unknown

	timeout time.Duration    // in which the agent has to answer; 0: 5 seconds
	ticks   <-chan time.Time // delivers the time once a second; nil: at the beginning of each
}

// Reports are those of the agent, as an [api.Client] gives them.
type Reports interface {
	Report(ctx context.Context) (*accounting.Report, error)
}

var _ Reports = (*api.Client)(nil)

// writeGrace is how long Run waits at the end for a write in progress.
const writeGrace = 500 * time.Millisecond

// Run prints until ctx ends, Stdin ends or delivers QUIT, or Stdout is closed by
// its reader. It then returns nil: after exit status 0 Netdata starts the plugin
// again. It returns an error if writing to Stdout fails for another reason.
//
// The program must ignore SIGPIPE (signal.Ignore). Otherwise Go ends it at a
// write to a closed standard output, and Netdata disables the plugin. The
// goroutine that reads Stdin remains until the read returns.
func (p *Plugin) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.Stdin != nil {
		go func() {
			waitForQuit(p.Stdin)
			cancel()
		}()
	}
	ended := make(chan error, 1)
	go func() { ended <- p.loop(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// If Netdata has stopped reading, the loop blocks in a write forever.
	select {
	case err := <-ended:
		return err
	case <-time.After(writeGrace):
		return nil
	}
}

// response is the outcome of one request to the agent.
type response struct {
	report *accounting.Report
	err    error
}

func (p *Plugin) loop(ctx context.Context) error {
	var (
		charts    = newChartWriter(p.Stdout, p.Seconds, p.MaxPorts, knowsLabels(p.Netdata))
		ticks     = p.ticks
		responses = make(chan response, 1)
		pending   bool  // a request is in progress
		cycle     int64 // number of the current cycle, counted from the epoch
		fault     health.Fault
	)
	if p.ticks == nil {
		ticks = nextSecond()
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticks:
			if p.ticks == nil {
				ticks = nextSecond()
			}
			_, err = io.WriteString(p.Stdout, "\n")
			if current := now.Unix() / int64(p.Seconds); current != cycle {
				cycle = current
				if !pending {
					pending = true
					go func() { responses <- p.request(ctx) }()
				}
			}
		case resp := <-responses:
			pending = false
			p.logChange(&fault, resp.err)
			if resp.err != nil {
				charts.gap()
			} else {
				err = charts.write(resp.report)
			}
		}
		if errors.Is(err, syscall.EPIPE) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *Plugin) request(ctx context.Context) response {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.timeout, 5*time.Second))
	defer cancel()
	report, err := p.Agent.Report(ctx)
	return response{report, err}
}

// logChange logs once that the agent stopped or resumed answering.
func (p *Plugin) logChange(fault *health.Fault, err error) {
	if errors.Is(err, context.Canceled) {
		return // the plugin itself ends
	}
	switch fault.Observe(err) {
	case health.FaultRaised:
		p.Log.Error("no values for Netdata, will keep trying", "error", err)
	case health.FaultCleared:
		p.Log.Info("the agent answers again", "missed", fault.Failures())
	case health.FaultUnchanged:
	}
}

// PluginStdin returns the standard input if it comes from Netdata, else nil. Netdata
// since 1.37 gives a plugin a pipe or a socket, whose end is the end of Netdata. An
// earlier one leaves the plugin its own stdin, which is /dev/null; the end of that, of
// a file and of a terminal says nothing about Netdata.
func PluginStdin(stdin *os.File) io.Reader {
	info, err := stdin.Stat()
	if err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return nil
	}
	return stdin
}

// waitForQuit returns when Netdata wants the plugin to end: Netdata since 2.1
// writes QUIT, without a line feed, and every Netdata since 1.37 that ends closes the pipe.
func waitForQuit(stdin io.Reader) {
	quit := []byte("QUIT")
	chunk := make([]byte, 512)
	kept := 0 // bytes at the start of chunk that may be the start of the word
	for {
		n, err := stdin.Read(chunk[kept:])
		text := chunk[:kept+n]
		if err != nil || bytes.Contains(text, quit) {
			return
		}
		kept = copy(chunk, text[max(0, len(text)-len(quit)+1):])
	}
}

// nextSecond delivers the time at the beginning of the next second.
func nextSecond() <-chan time.Time {
	now := time.Now()
	return time.After(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

// maxUpdateEvery is Netdata's longest interval, one day, in seconds.
const maxUpdateEvery = 86400

// UpdateEvery returns the seconds between two values: the plugin's argument, but
// at least environment, the value of NETDATA_UPDATE_EVERY. Either may be empty;
// if both are, the result is 1.
func UpdateEvery(argument, environment string) (int, error) {
	seconds, err := parseSeconds("argument SECONDS", argument)
	if err != nil {
		return 0, err
	}
	minimum, err := parseSeconds("NETDATA_UPDATE_EVERY", environment)
	if err != nil {
		return 0, err
	}
	return max(seconds, minimum), nil
}

func parseSeconds(name, text string) (int, error) {
	if text == "" {
		return 1, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 || seconds > maxUpdateEvery {
		return 0, fmt.Errorf("%s %q: want whole seconds from 1 to %d", name, text, maxUpdateEvery)
	}
	return seconds, nil
}
