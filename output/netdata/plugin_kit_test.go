package netdata

import (
	"context"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
	"ssmonitor/output/api"
)

// allPorts limits no port to have charts of its own.
const allPorts = math.MaxInt

// pluginUnderTest runs a Plugin, second by second as the test says.
type pluginUnderTest struct {
	t      *testing.T
	stdin  *os.File // Netdata's end
	ticks  chan time.Time
	second int64
	stop   context.CancelFunc
	ended  chan error
	log    testkit.Log
	out    testkit.Log
	reader *netdata
	fed    int // bytes of out that reader has read
}

func startPlugin(t *testing.T, agent Reports, seconds int) *pluginUnderTest {
	t.Helper()
	return startImpatientPlugin(t, agent, seconds, 0)
}

// startImpatientPlugin starts one that waits for the agent for so long.
func startImpatientPlugin(t *testing.T, agent Reports, seconds int, timeout time.Duration) *pluginUnderTest {
	t.Helper()
	stdin, netdataStdin := pipe(t)
	ctx, stop := context.WithCancel(context.Background())
	p := &pluginUnderTest{
		t: t, stdin: netdataStdin, ticks: make(chan time.Time), second: sample.Noon.Unix(), stop: stop,
		ended: make(chan error, 1), reader: newNetdata(),
	}
	plugin := &Plugin{
		Agent: agent, Seconds: seconds, MaxPorts: allPorts, Stdin: stdin, Stdout: &p.out, ticks: p.ticks, timeout: timeout,
		Log: slog.New(slog.NewTextHandler(&p.log, nil)),
	}
	go func() { p.ended <- plugin.Run(ctx) }()
	t.Cleanup(stop)
	return p
}

func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = reader.Close()
		_ = writer.Close()
	})
	return reader, writer
}

// tick lets a second pass and waits for the blank line.
func (p *pluginUnderTest) tick() {
	p.t.Helper()
	p.second++
	select {
	case p.ticks <- time.Unix(p.second, 0):
	case err := <-p.ended:
		p.t.Fatalf("the plugin has ended: %v", err)
	case <-time.After(10 * time.Second):
		p.t.Fatal("the plugin takes no tick")
	}
}

// alicesTraffic is the one chart of a port that these tests look at.
const alicesTraffic = "ssmonitor.port_20000_traffic"

// values is how often it was updated so far.
func (p *pluginUnderTest) values() int {
	p.t.Helper()
	text := p.out.String()
	whole := strings.LastIndex(text, "\n") + 1
	p.reader.feed(p.t, text[p.fed:whole])
	p.fed = whole
	if chart := p.reader.charts[alicesTraffic]; chart != nil {
		return len(chart.updates)
	}
	return 0
}

// expectEnd waits for the end, without an error.
func (p *pluginUnderTest) expectEnd() {
	p.t.Helper()
	select {
	case err := <-p.ended:
		if err != nil {
			p.t.Errorf("the plugin ended with %v, want nil", err)
		}
	case <-time.After(10 * time.Second):
		p.t.Error("the plugin does not end")
	}
}

// lines returns how often the log contains the words.
func (p *pluginUnderTest) lines(words string) int { return strings.Count(p.log.String(), words) }

// growing is an agent whose totals grow with each report, a second each.
func growing() *sample.Source {
	feed := &sample.Source{}
	var reports uint64
	feed.Answers(func(context.Context) (*accounting.Report, error) {
		reports++
		return at(time.Duration(reports)*time.Second, named(20000, "alice", count(reports, reports), count(0, 0))), nil
	})
	return feed
}

// healthy is a source of the agent's socket.
type healthy struct{ *sample.Source }

func (healthy) Health() api.Health { return api.Health{} }

// startAgent serves the source on a socket until the test ends or stop is called.
func startAgent(t *testing.T, path string, feed *sample.Source) (stop func()) {
	t.Helper()
	return servingtest.Start(t, path, api.NewHandler(healthy{feed}, sample.AtNoon, testkit.Quiet()), servingtest.Generous)
}
