package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/output/prometheus"
)

func TestAddressesInSettings(t *testing.T) {
	limits := func(settings string, arguments ...string) (limits connections.Limits, err error) {
		app := &cli.App{Flags: []cli.Flag{addressesFlag(), configFlag()}, DisableSliceFlagSeparator: true, Action: func(c *cli.Context) error {
			c.Command.Flags = c.App.Flags
			if err := applyConfig(c); err != nil {
				return err
			}
			limits, err = addressLimits(c)
			return err
		}, ExitErrHandler: func(*cli.Context, error) {}, Writer: &bytes.Buffer{}}
		err = app.RunContext(t.Context(), append([]string{"run", "--config", writeSettings(t, settings)}, arguments...))
		return limits, err
	}
	for _, test := range []struct {
		name, settings string
		arguments      []string
		alice, bob     int32
	}{
		{"none", "", nil, 0, 0},
		{"a number", "addresses: 3\n", nil, 3, 3},
		{"off", "addresses: 0\n", nil, 0, 0},
		{"a list", "addresses: [3, alice=5]\n", nil, 5, 3},
		{"a map", "addresses: {alice: 5, bob: none}\n", nil, 5, 0},
		{"flags come first", "addresses: 3\n", []string{"--addresses", "4", "--addresses", "bob=6"}, 4, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := limits(test.settings, test.arguments...)
			if err != nil {
				t.Fatal(err)
			}
			alice, _ := got.For(accounting.Port{Number: 1, Name: "alice"})
			bob, _ := got.For(accounting.Port{Number: 2, Name: "bob"})
			if alice != test.alice || bob != test.bob {
				t.Errorf("got %d and %d, want %d and %d", alice, bob, test.alice, test.bob)
			}
		})
	}
	for settings, want := range map[string]string{
		"addresses: many\n":       `line 1, column 12: key addresses: want a number of addresses`,
		"addresses: {alice: [3]}": "key addresses: want a limit, a list of limits, or a map",
	} {
		if _, err := limits(settings); !errors.As(err, new(*usageError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", settings, err, want)
		}
	}
	t.Setenv("SSMONITOR_ADDRESSES", "3, alice=5")
	if got, err := limits(""); err != nil || !got.Any() {
		t.Errorf("the variable: got %+v, %v", got, err)
	}
}

// countedSource counts how often the connections are counted.
type countedSource struct {
	connections.Source
	counts int
}

func (s *countedSource) Count(ports []uint16, reuse []accounting.Connections) ([]accounting.Connections, error) {
	s.counts++
	return s.Source.Count(ports, reuse)
}

// TestConnectionsAreCountedForReaders counts how often an agent asks the kernel who
// is connected, in ten ticks and for the readers after them.
func TestConnectionsAreCountedForReaders(t *testing.T) {
	read := func(t *testing.T, a *agent) {
		report, err := meterSource{a.meter, a.connections, a.interval}.Report(t.Context())
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
	for _, test := range []struct {
		name      string
		arguments []string
		reader    func(*testing.T, *agent)
		want      int // at least, if there is a textfile: counts are shared for a while
	}{
		{"nobody", nil, nil, 0},
		{"no limit", []string{"--addresses", "none"}, nil, 0},
		{"a limit", []string{"--addresses", "3"}, nil, 1},
		{"who asks on the socket", nil, read, 1},
		{"who scrapes", nil, scrape, 1},
		{"a textfile", []string{"--save-interval", "0s", "--textfile", "ssmonitor.prom"}, nil, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.setup()
			t.Chdir(p.directory)
			app := &cli.App{Flags: runCommand().Flags, ErrWriter: &bytes.Buffer{}, ExitErrHandler: func(*cli.Context, error) {}, Action: func(c *cli.Context) error {
				a, err := newAgent(c)
				if err != nil {
					return err
				}
				source := &countedSource{Source: a.sockets}
				a.connections = connections.NewMeter(source, nil, a.log)
				a.addresses = connections.NewWatch(a.addressLimits, a.connections, nil)
				a.openTextfile(a.newMetrics())
				for range 10 {
					a.tick(t.Context())
					time.Sleep(20 * time.Millisecond) // more than a count is shared for
				}
				if test.reader != nil {
					test.reader(t, a)
				}
				if source.counts != test.want && (a.textfile == nil || source.counts < test.want) {
					t.Errorf("counted %d times, want %d", source.counts, test.want)
				}
				return a.close()
			}}
			arguments := []string{"run", "--config", noConfig, "--ports", p.list, "--state", filepath.Join(p.directory, "state"), "--socket", "", "--csv", ""}
			if err := app.RunContext(t.Context(), append(arguments, test.arguments...)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestConnectionsToContainersAreUnknown has packets counted before addresses are
// translated, so that any port may be a container's.
func TestConnectionsToContainersAreUnknown(t *testing.T) {
	p := newPlace(t)
	p.setup("--hook", "container")
	var log bytes.Buffer
	app := &cli.App{Flags: runCommand().Flags, ErrWriter: &log, ExitErrHandler: func(*cli.Context, error) {}, Action: func(c *cli.Context) error {
		a, err := newAgent(c)
		if err != nil {
			return err
		}
		report, err := meterSource{a.meter, a.connections, a.interval}.Report(t.Context())
		if err != nil || len(report.Ports) != 2 || report.Ports[0].Connections.Known {
			t.Errorf("got %+v, %v, want two ports with unknown connections", report, err)
		}
		return a.close()
	}}
	if err := app.RunContext(t.Context(), []string{"run", "--config", noConfig, "--hook", "container", "--addresses", "3",
		"--ports", p.list, "--state", p.state, "--socket", "", "--csv", ""}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "--addresses has no effect") {
		t.Errorf("got the log\n%s", &log)
	}
}
