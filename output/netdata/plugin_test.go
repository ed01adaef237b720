package netdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/output/api"
)

func TestPluginShowsTheAgentAwayAndBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := growing()
	plugin := startPlugin(t, api.NewClient(path), 1)
	for range 3 { // No agent yet: no exit, no values.
		before := len(plugin.out.String())
		plugin.tick()
		testkit.Until(t, "a blank line", func() bool { return len(plugin.out.String()) > before })
	}
	testkit.Until(t, "the log says that there is no agent", func() bool { return plugin.lines("start it") == 1 })
	if text := plugin.out.String(); strings.Trim(text, "\n") != "" {
		t.Errorf("without an agent the plugin wrote %q", text)
	}
	next := func() chartUpdate {
		t.Helper()
		before := plugin.values()
		// Ticks during a request start no request of their own.
		testkit.Until(t, "the next value", func() bool { plugin.tick(); return plugin.values() > before })
		return plugin.reader.charts[alicesTraffic].updates[before]
	}
	stop := startAgent(t, path, feed)
	next()
	testkit.Until(t, "the log says that the agent is back", func() bool { return plugin.lines("answers again") == 1 })
	if next().microseconds != 1000000 {
		t.Error("the second value does not tell the time since the first")
	}

	stop()
	testkit.Until(t, "the log says that the agent is away", func() bool { plugin.tick(); return plugin.lines("start it") == 2 })
	before := plugin.values()
	for range 5 {
		plugin.tick()
	}
	if values := plugin.values(); values != before {
		t.Errorf("%d values came without an agent", values-before)
	}
	startAgent(t, path, feed)
	if next().microseconds != 0 {
		t.Error("the value after the gap is told as a continuation")
	}
	if said := plugin.lines("level=ERROR"); said != 2 {
		t.Errorf("the log has %d errors, want one each time the agent went:\n%s", said, plugin.log.String())
	}
	plugin.stop()
	plugin.expectEnd()
}

func TestPluginLivesOnWhileTheAgentHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	release := make(chan struct{})
	feed := &sample.Source{}
	feed.Answers(func(ctx context.Context) (*accounting.Report, error) {
		<-release
		return at(time.Second, named(20000, "alice", count(1, 1), count(1, 1))), nil
	})
	startAgent(t, path, feed)
	plugin := startImpatientPlugin(t, api.NewClient(path), 1, 100*time.Millisecond)
	for range 20 {
		plugin.tick()
	}
	testkit.Until(t, "a blank line a second", func() bool { return strings.Count(plugin.out.String(), "\n") == 20 })
	testkit.Until(t, "the log says so", func() bool { return plugin.lines("does not answer in time") == 1 })
	close(release)
	testkit.Until(t, "a value", func() bool { plugin.tick(); return plugin.values() > 0 })
}

// TestPluginIsPatient looks at how long the agent may take.
func TestPluginIsPatient(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 5 * time.Second, time.Minute: time.Minute} {
		left := make(chan time.Duration, 1)
		feed := &sample.Source{}
		feed.Answers(func(ctx context.Context) (*accounting.Report, error) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return nil, accounting.ErrNoTable
		})
		plugin := &Plugin{Agent: feed, timeout: timeout}
		_ = plugin.request(t.Context())
		if got := <-left; got > want || got < want-time.Second {
			t.Errorf("timeout %s: the agent may take %s, want %s", timeout, got, want)
		}
	}
}

// TestPluginEndsQuietly ends the plugin while it waits for the agent. That is no
// error of the agent's.
func TestPluginEndsQuietly(t *testing.T) {
	var log testkit.Log
	plugin := &Plugin{Log: slog.New(slog.NewTextHandler(&log, nil))}
	var fault health.Fault
	plugin.logChange(&fault, fmt.Errorf("asking the agent: %w", context.Canceled))
	if said := log.String(); said != "" {
		t.Errorf("the plugin logs its own end:\n%s", said)
	}
	plugin.logChange(&fault, api.ErrAgentNotRunning)
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Error("the plugin does not log that the agent is not running")
	}
}

// TestPluginFinishesItsLine ends the plugin during a write: Netdata gets all of
// it.
func TestPluginFinishesItsLine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan struct{})
	var once sync.Once // the agent's report may come before the plugin sees its end
	slow := writerFunc(func(p []byte) (int, error) {
		once.Do(func() {
			cancel()
			time.Sleep(50 * time.Millisecond) // a slow reader
			close(written)
		})
		return len(p), nil
	})
	if err := tickedOnce(t, slow).Run(ctx); err != nil {
		t.Errorf("the error is %v", err)
	}
	select {
	case <-written:
	default:
		t.Error("the plugin ended during a write")
	}
}

func TestPluginAsksOnceACycle(t *testing.T) {
	feed := growing()
	plugin := startPlugin(t, feed, 5) // Noon is a multiple of 5 seconds.
	asked := func(want int64) {
		t.Helper()
		testkit.Until(t, "the agent is asked", func() bool {
			return plugin.values() == int(want) && feed.Asked.Load() == want
		})
	}
	plugin.tick() // The first cycle begins at once,
	asked(1)
	for range 3 {
		plugin.tick()
	}
	asked(1)
	plugin.tick() // the others at multiples of 5 seconds.
	asked(2)
	plugin.second += 100 // The machine slept,
	plugin.tick()
	asked(3)
	plugin.second -= 3600 // or the clock was set back.
	plugin.tick()
	asked(4)
	testkit.Until(t, "a blank line a second", func() bool { return strings.HasPrefix(plugin.out.String(), "\n") })
}

// TestPluginAsksOnceAtATime has an agent that takes several cycles for an answer.
func TestPluginAsksOnceAtATime(t *testing.T) {
	feed, release := &sample.Source{}, make(chan struct{})
	var running atomic.Int64
	var overlapped atomic.Bool
	feed.Answers(func(context.Context) (*accounting.Report, error) {
		defer running.Add(-1)
		if running.Add(1) > 1 {
			overlapped.Store(true)
		}
		<-release
		return nil, api.ErrAgentNotRunning
	})
	plugin := startPlugin(t, feed, 1)
	for range 5 {
		plugin.tick()
	}
	testkit.Until(t, "the agent is asked", func() bool { return feed.Asked.Load() > 0 })
	plugin.tick()
	close(release)
	testkit.Until(t, "the agent is asked again", func() bool { plugin.tick(); return feed.Asked.Load() > 1 })
	if overlapped.Load() {
		t.Error("the agent is asked again before it has answered")
	}
}

func TestPluginEnds(t *testing.T) {
	t.Run("when stdin does", func(t *testing.T) {
		plugin := startPlugin(t, growing(), 1)
		plugin.tick()
		if err := plugin.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		plugin.expectEnd()
	})
	t.Run("when nobody reads", func(t *testing.T) {
		netdataStdout, stdout := pipe(t)
		if err := netdataStdout.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tickedOnce(t, stdout).Run(t.Context()); err != nil {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("with its context", func(t *testing.T) {
		plugin := startPlugin(t, growing(), 1)
		plugin.stop()
		plugin.expectEnd()
	})
	t.Run("with an error when stdout fails in another way", func(t *testing.T) {
		if err := tickedOnce(t, brokenWriter{}).Run(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("when Netdata has stopped to read", func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		ctx, cancel := context.WithCancel(t.Context())
		stuck := writerFunc(func(p []byte) (int, error) {
			cancel()
			<-release
			return len(p), nil
		})
		if err := tickedOnce(t, stuck).Run(ctx); err != nil {
			t.Errorf("the error is %v", err)
		}
	})
}

// tickedOnce is a plugin with an agent, for which a second has passed.
func tickedOnce(t *testing.T, stdout io.Writer) *Plugin {
	t.Helper()
	stdin, _ := pipe(t)
	ticks := make(chan time.Time, 1)
	ticks <- sample.Noon
	return &Plugin{Agent: growing(), Seconds: 1, Stdin: stdin, Stdout: stdout, Log: testkit.Quiet(), ticks: ticks}
}

// readOn is where a plugin reads that has missed the word.
type readOn struct{ t *testing.T }

func (r readOn) Read([]byte) (int, error) {
	r.t.Error("QUIT is not seen")
	return 0, io.EOF
}

// TestQuitInParts has reads end within the word, which a pipe does now and then.
func TestQuitInParts(t *testing.T) {
	for _, parts := range [][]string{
		{"QUIT"}, {"FUNCTION x 1 \"y\"\nQU", "IT"}, {"Q", "U", "I", "T"}, {strings.Repeat("x", 511) + "Q", "UIT"},
	} {
		var stdin []io.Reader
		for _, part := range parts {
			stdin = append(stdin, strings.NewReader(part))
		}
		waitForQuit(io.MultiReader(append(stdin, readOn{t})...))
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestPluginRunsByTheClock(t *testing.T) {
	for range 2 {
		if tick := <-nextSecond(); tick.Sub(tick.Truncate(time.Second)) > 900*time.Millisecond {
			t.Errorf("a tick came at %s, want the begin of a second", tick)
		}
	}
}

func TestUpdateEvery(t *testing.T) {
	for _, c := range []struct {
		argument, environment string
		want                  int
		wrong                 string
	}{
		{"", "", 1, ""},
		{"5", "", 5, ""},
		{"", "2", 2, ""},
		{"1", "2", 2, ""},
		{"10", "2", 10, ""},
		{"0", "", 0, `SECONDS "0"`},
		{"-1", "", 0, `SECONDS "-1"`},
		{"86401", "", 0, "86400"},
		{"1.5", "", 0, `SECONDS "1.5"`},
		{"1", "x", 0, `NETDATA_UPDATE_EVERY "x"`},
	} {
		seconds, err := UpdateEvery(c.argument, c.environment)
		if seconds != c.want || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q, %q: %d, %v, want %d, %q", c.argument, c.environment, seconds, err, c.want, c.wrong)
		}
	}
}
