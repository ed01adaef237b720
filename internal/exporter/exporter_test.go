package exporter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
	"ssmonitor/internal/unit"
	"ssmonitor/output/api"
)

func newExporter(log *bytes.Buffer, sent *[]string) *exporter {
	s := settings.Default()
	return &exporter{
		settings: s, log: slog.New(slog.NewTextHandler(log, nil)),
		notifier: &unit.Notifier{Send: func(state string) { *sent = append(*sent, state) }},
	}
}

// TestServes answers 503 on two listeners while there is no agent, tells systemd when it is
// ready and when it ends, and ends well.
func TestServes(t *testing.T) {
	var log bytes.Buffer
	sent := make(chan string, 10)
	e := newExporter(&log, nil)
	e.notifier.Send = func(state string) { sent <- state }
	e.settings.Socket = filepath.Join(t.TempDir(), "socket")
	listeners := []net.Listener{servingtest.ListenTCP(t), servingtest.ListenTCP(t)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.serve(ctx, listeners) }()
	if state := <-sent; state != "READY=1" {
		t.Errorf("systemd is told %q", state)
	}
	for _, listener := range listeners {
		response, err := http.Get("http://" + listener.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("got %s, %v", response.Status, err)
		}
	}
	if state := <-sent; !strings.HasPrefix(state, "STATUS=the metrics can't be read") {
		t.Errorf("systemd is told %q", state)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if state := <-sent; state != "STOPPING=1" {
		t.Errorf("systemd is told %q", state)
	}
}

// TestListenerThatFails ends the process, for systemd to start it again.
func TestListenerThatFails(t *testing.T) {
	var log bytes.Buffer
	var sent []string
	broken := servingtest.ListenTCP(t)
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	if err := newExporter(&log, &sent).serve(t.Context(), []net.Listener{servingtest.ListenTCP(t), broken}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// TestExposure warns of listeners that other hosts reach, and of what they see.
func TestExposure(t *testing.T) {
	all, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close() //nolint:errcheck // nothing connected
	for _, test := range []struct {
		name     string
		listener net.Listener
		names    bool
		want     string // empty: no warning
	}{
		{"loopback", servingtest.ListenTCP(t), true, ""},
		{"all, with names", all, true, "with the names and traffic of the clients, are served to other hosts without TLS and authentication"},
		{"all, without names", all, false, "with the traffic of every port, are served"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			e := newExporter(&log, nil)
			e.settings.MetricsNames = test.names
			e.warnOfExposure(test.listener)
			if test.want == "" && log.Len() > 0 || !strings.Contains(log.String(), test.want) {
				t.Errorf("got %q, want %q", &log, test.want)
			}
		})
	}
}

// TestObserve logs a fault once, and that it has ended.
func TestObserve(t *testing.T) {
	var log bytes.Buffer
	var sent []string
	e := newExporter(&log, &sent)
	for _, err := range []error{nil, api.ErrAgentNotRunning, api.ErrAgentNotRunning, nil, nil} {
		e.observe(err)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || len(sent) != 2 || sent[1] != "STATUS=serving" {
		t.Errorf("got %q and\n%s", sent, &log)
	}
}

// TestWrongSettings are those with which another attempt would fail alike.
func TestWrongSettings(t *testing.T) {
	for name, change := range map[string]func(*settings.Settings){
		"socket":     func(s *settings.Settings) { s.Socket = "" },
		"listen":     func(s *settings.Settings) { s.Listen = "" },
		"web-config": func(s *settings.Settings) { s.WebConfig = "/nowhere/web.yml" },
	} {
		s := settings.Default()
		change(s)
		if err := Run(t.Context(), s, testkit.Quiet()); !errors.As(err, new(*failure.WrongError)) || !strings.Contains(err.Error(), name) {
			// The error of web-config names the file.
			if name != "web-config" || !strings.Contains(err.Error(), s.WebConfig) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

// TestTakenAddress names the way on where another process serves at the address.
func TestTakenAddress(t *testing.T) {
	var log bytes.Buffer
	e := newExporter(&log, nil)
	e.settings.Listen = servingtest.ListenTCP(t).Addr().String()
	if _, err := e.listen(); err == nil || !strings.Contains(err.Error(), "name another address with --listen") {
		t.Errorf("got %v", err)
	}
}
