package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"syscall"
	"time"

	"ssmonitor/accounting"
)

// Plugin is the loop of Netdata's external plugin: every so many seconds it
// asks the agent and prints what it says as [Charts].
//
// While the agent is away it prints no values, which is a gap in the charts,
// and goes on: Netdata disables a plugin that ends before it has delivered
// anything. A blank line each second, whatever else happens, tells Netdata
// that the plugin lives (from 1.41 on it gives up on one that is silent for two
// minutes), and the plugin that Netdata does.
type Plugin struct {
	Agent   Reporter
	Seconds int       // between two values; at least 1, see UpdateEvery
	Stdin   io.Reader // ends the loop at its end, or by the word QUIT
	Stdout  io.Writer // Netdata's; nothing else may write to it
	Log     *slog.Logger
	// Patience bounds how long the agent may take to answer; 0: 5 seconds.
	Patience time.Duration
	// Ticks gives the time once a second; nil: the clock does, at the begin of
	// each second.
	Ticks <-chan time.Time
}

// Reporter is the part of a [Feed], or of a [Client], that the plugin needs.
type Reporter interface {
	Report(ctx context.Context) (*accounting.Report, error)
}

var _ Reporter = (*Client)(nil)

// farewell is how long Run waits at the end for a line that is being written.
const farewell = 500 * time.Millisecond

// Run prints until ctx ends, Stdin ends or says QUIT, or nobody reads Stdout
// any more, and returns nil then: with status 0 Netdata starts the plugin
// again. An error says that Stdout failed in another way.
//
// The program has to ignore SIGPIPE (signal.Ignore), or Go ends it at a write
// to a standard output that is closed, and Netdata disables the plugin for it.
// The goroutine that reads Stdin stays until the read ends.
func (p *Plugin) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		waitForQuit(p.Stdin)
		cancel()
	}()
	ended := make(chan error, 1)
	go func() { ended <- p.loop(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// Where Netdata has stopped to read, the loop hangs in a write for ever.
	select {
	case err := <-ended:
		return err
	case <-time.After(farewell):
		return nil
	}
}

// answer is what became of one question to the agent.
type answer struct {
	report *accounting.Report
	err    error
}

func (p *Plugin) loop(ctx context.Context) error {
	var (
		charts  = NewCharts(p.Stdout, p.Seconds)
		ticks   = p.Ticks
		answers = make(chan answer, 1)
		asking  bool
		cycle   int64 // the number of the last one: whole multiples of Seconds
		fault   Fault
	)
	if ticks == nil {
		ticks = everySecond(ctx)
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticks:
			_, err = io.WriteString(p.Stdout, "\n")
			if current := now.Unix() / int64(p.Seconds); current != cycle {
				cycle = current
				// An agent that has not answered yet is not asked again.
				if !asking {
					asking = true
					go func() { answers <- p.ask(ctx) }()
				}
			}
		case answer := <-answers:
			asking = false
			p.say(&fault, answer.err)
			if answer.err != nil {
				charts.Gap()
			} else {
				err = charts.Write(answer.report)
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

func (p *Plugin) ask(ctx context.Context) answer {
	patience := p.Patience
	if patience == 0 {
		patience = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	report, err := p.Agent.Report(ctx)
	return answer{report, err}
}

// say logs a change of the agent's state once.
func (p *Plugin) say(fault *Fault, err error) {
	if errors.Is(err, context.Canceled) {
		return // The plugin itself ends.
	}
	switch fault.Observe(err) {
	case Failed:
		p.Log.Error("no values for Netdata, trying on", "error", err)
	case Recovered:
		p.Log.Info("the agent answers again", "missed", fault.Failures())
	case Unchanged:
	}
}

// waitForQuit returns when Netdata wants the plugin to end: from 2.1 on it says
// QUIT, without a line feed, and every Netdata that ends closes the pipe.
func waitForQuit(stdin io.Reader) {
	quit := []byte("QUIT")
	chunk := make([]byte, 512)
	kept := 0 // bytes of the chunk that may begin the word
	for {
		n, err := stdin.Read(chunk[kept:])
		text := chunk[:kept+n]
		if err != nil || bytes.Contains(text, quit) {
			return
		}
		kept = copy(chunk, text[max(0, len(text)-len(quit)+1):])
	}
}

// everySecond gives the time at the begin of each second until ctx ends. Who
// does not take it in time misses it.
func everySecond(ctx context.Context) <-chan time.Time {
	ticks := make(chan time.Time, 1)
	go func() {
		for {
			now := time.Now()
			timer := time.NewTimer(now.Truncate(time.Second).Add(time.Second).Sub(now))
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case now := <-timer.C:
				select {
				case ticks <- now:
				default:
				}
			}
		}
	}()
	return ticks
}

// longestUpdate is the longest interval that Netdata knows, a day, in seconds.
const longestUpdate = 86400

// UpdateEvery returns the seconds between two values: the plugin's argument, but
// never less than environment, the value of NETDATA_UPDATE_EVERY. Either may be
// empty; without both it is 1.
func UpdateEvery(argument, environment string) (int, error) {
	seconds, err := parseSeconds("the argument SECONDS", argument)
	if err != nil {
		return 0, err
	}
	least, err := parseSeconds("NETDATA_UPDATE_EVERY", environment)
	if err != nil {
		return 0, err
	}
	return max(seconds, least), nil
}

func parseSeconds(what, text string) (int, error) {
	if text == "" {
		return 1, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 || seconds > longestUpdate {
		return 0, fmt.Errorf("%s is %q, expected whole seconds from 1 to %d", what, text, longestUpdate)
	}
	return seconds, nil
}
