// Package exporter is what `metrics` runs: it serves an agent's /metrics over TCP, with no
// privilege but to read the agent's socket.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sync/errgroup"

	"ssmonitor/internal/failure"
	"ssmonitor/internal/health"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/unit"
	"ssmonitor/output/api"
	"ssmonitor/output/prometheus"
)

// exporter connects the listeners with the agent.
type exporter struct {
	settings *settings.Settings
	web      *serving.WebConfig // nil: neither TLS nor passwords
	log      *slog.Logger
	notifier *unit.Notifier

	mutex sync.Mutex
	fault health.Fault // of the agent
}

// Run serves until ctx ends, on the sockets that systemd opened or else on the address in
// the settings. It needs no agent: without one it answers 503, until there is one.
func Run(ctx context.Context, s *settings.Settings, log *slog.Logger) error {
	unit.LimitMemory(unit.HeapShareOfMetrics)
	e := &exporter{settings: s, log: log, notifier: unit.NewNotifier()}
	if s.Socket == "" {
		return failure.Wrong(errors.New("metrics reads the agent's socket, which is turned off: remove the empty socket from the settings, or name one with --socket"))
	}
	if s.WebConfig != "" {
		web, err := serving.OpenWebConfig(s.WebConfig)
		if err != nil {
			return failure.Wrong(err)
		}
		e.web = web
	}
	listeners, err := e.listen()
	if err != nil {
		return err
	}
	return e.serve(ctx, listeners)
}

// listen returns the sockets that systemd opened, or else one of its own.
func (e *exporter) listen() (listeners []net.Listener, err error) {
	inherited, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("inheriting the sockets from systemd: %w", err)
	}
	for _, listener := range inherited {
		if listener != nil { // a file that is no socket
			listeners = append(listeners, listener)
		}
	}
	switch address := e.settings.Listen; {
	case len(listeners) > 0 && e.settings.Given("listen"):
		e.log.Warn("the address in the settings has no effect, since systemd has opened the socket: set ListenStream= with `systemctl edit ssmonitor-metrics.socket`",
			"listen", address, "socket", listeners[0].Addr().String())
	case len(listeners) > 0:
	case address == "":
		return nil, failure.Wrong(errors.New("no address to serve /metrics on: name one with --listen, or enable ssmonitor-metrics.socket"))
	default:
		listener, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: name another address with --listen, or stop what listens there, such as ssmonitor-metrics.socket", err)
		}
		if err != nil {
			return nil, fmt.Errorf("listening for /metrics: %w", err)
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

// serve serves until ctx ends, or until a listener fails.
func (e *exporter) serve(ctx context.Context, listeners []net.Listener) error {
	proxy := prometheus.Proxy{Agent: api.NewClient(e.settings.Socket), Names: e.settings.MetricsNames, Now: time.Now, Observe: e.observe}
	server := serving.Server{Handler: proxy.NewHandler(), Web: e.web, Limits: serving.DefaultLimits(), Log: e.log}
	servers, ctx := errgroup.WithContext(ctx)
	for _, listener := range listeners {
		e.warnOfExposure(listener)
		e.log.Info("serving /metrics", "address", listener.Addr().String(), "socket", e.settings.Socket)
		servers.Go(func() error { return server.Serve(ctx, listener) })
	}
	e.notifier.Ready()
	<-ctx.Done()
	e.notifier.Stopping()
	return servers.Wait()
}

// warnOfExposure logs what a listener lacks that other hosts may reach.
func (e *exporter) warnOfExposure(listener net.Listener) {
	missing := e.web.Exposure(listener)
	if missing == "" {
		return
	}
	content := "the names and traffic of the clients"
	if !e.settings.MetricsNames {
		content = "the traffic of every port"
	}
	e.log.Warn("metrics, with "+content+", are served to other hosts without "+missing+
		": add it with --web-config, or listen on 127.0.0.1", "address", listener.Addr().String())
}

// observe reports whether the agent answers, when that changes.
func (e *exporter) observe(err error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	before := e.fault.Failing()
	e.fault.Log(e.log, err, "the metrics can't be read", "the metrics are read again")
	if e.fault.Failing() == before {
		return
	}
	if err != nil {
		e.notifier.Status("the metrics can't be read: the log says why")
	} else {
		e.notifier.Status("serving")
	}
}
