package agent

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/internal/settings"
	"ssmonitor/nft"
	"ssmonitor/output/prometheus"
)

// countedSource counts how often the connections are counted.
type countedSource struct {
	connections.Counter
	counts int
}

func (s *countedSource) Count(ports []uint16, reuse []accounting.Connections) ([]accounting.Connections, error) {
	s.counts++
	return s.Counter.Count(ports, reuse)
}

// TestConnectionsAreCountedForReaders counts how often an agent asks the kernel who
// is connected, in ten ticks and for the readers after them.
func TestConnectionsAreCountedForReaders(t *testing.T) {
	read := func(t *testing.T, a *agent) {
		report, err := a.readings.Report(t.Context())
		if err != nil || len(report.Ports) != 2 || !report.Ports[0].Connections.Known {
			t.Errorf("got %+v, %v, want known connections", report, err)
		}
	}
	scrape := func(t *testing.T, a *agent) {
		response := httptest.NewRecorder()
		prometheus.NewHandler(a.newMetrics(), time.Now).ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if !strings.Contains(response.Body.String(), `ssmonitor_port_addresses{port="20000",name=""} 0`) {
			t.Errorf("got the metrics\n%s", response.Body)
		}
	}
	three, err := connections.ParseLimits([]string{"3"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*settings.Settings)
		reader func(*testing.T, *agent)
		want   int // at least, if there is a textfile: counts are shared for a while
	}{
		{"nobody", nil, nil, 0},
		{"a limit", func(s *settings.Settings) { s.Addresses = three }, nil, 1},
		{"who asks on the socket", nil, read, 1},
		{"who scrapes", nil, scrape, 1},
		{"a textfile", func(s *settings.Settings) {
			s.SaveInterval, s.Textfile = 0, filepath.Join(s.StateDirectory, "ssmonitor.prom")
		}, nil, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := open(t, newTestAgent(t, io.Discard, test.change))
			source := &countedSource{Counter: a.sockets}
			a.connections = connections.NewMeter(source, nil, a.board)
			a.readings = newReadings(a.meter, a.connections, a.month, a.board, a.settings.Interval)
			a.openWatchers(a.newMetrics())
			for range 10 {
				a.tick(t.Context())
				time.Sleep(20 * time.Millisecond) // more than a count is shared for
			}
			if test.reader != nil {
				test.reader(t, a)
			}
			if source.counts != test.want && (a.settings.Textfile == "" || source.counts < test.want) {
				t.Errorf("counted %d times, want %d", source.counts, test.want)
			}
		})
	}
}

// TestConnectionsToContainersAreUnknown has packets counted before addresses are
// translated, so that any port may be a container's.
func TestConnectionsToContainersAreUnknown(t *testing.T) {
	limits, err := connections.ParseLimits([]string{"3"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a := open(t, newTestAgent(t, &log, func(s *settings.Settings) { s.Hook, s.Addresses = nft.HookContainer, limits }))
	report, err := a.readings.Report(t.Context())
	if err != nil || len(report.Ports) != 2 || report.Ports[0].Connections.Known {
		t.Errorf("got %+v, %v, want two ports with unknown connections", report, err)
	}
	if !strings.Contains(log.String(), "--addresses has no effect") {
		t.Errorf("got the log\n%s", &log)
	}
}
