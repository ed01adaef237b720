package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/unit"
	"ssmonitor/output/api"
	"ssmonitor/output/prometheus"
)

// metricsSocket is the name of systemd's socket for /metrics: its unit's
// FileDescriptorName=.
const metricsSocket = "metrics"

// minReadGap is the shortest time between two readings for requests.
const minReadGap = 200 * time.Millisecond

// listen serves root on the control socket, readers on the agent's own, and metrics there, on --listen
// and on the sockets that systemd opened.
func (a *agent) listen(ctx context.Context, collected *prometheus.Metrics, web *serving.WebConfig) error {
	metrics := prometheus.NewHandler(collected, time.Now)
	source := api.NewCoalesced(meterSource{a.meter, a.connections, a.settings.Interval}, minReadGap, time.Now)
	inherited, err := activation.ListenersWithNames()
	if err != nil {
		return fmt.Errorf("inheriting the sockets from systemd: %w", err)
	}
	for _, listener := range inherited[metricsSocket] {
		a.serveMetrics(ctx, listener, web, metrics)
	}
	if a.settings.Listen != "" {
		listener, err := net.Listen("tcp", a.settings.Listen)
		if err != nil {
			return unit.ListenError(fmt.Errorf("listening for /metrics: %w", err), a.Lookup)
		}
		a.serveMetrics(ctx, listener, web, metrics)
	}
	if a.settings.Socket != "" {
		listener, err := serving.ListenSocket(a.settings.Socket, Group, a.Log)
		if err != nil {
			return unit.WriteError(err, a.settings.Socket, a.Lookup)
		}
		handler := api.NewHandler(source, time.Now, a.Log)
		handler.Handle("GET /v1/usage", api.NewUsageHandler(a.history, a.settings.Warn, time.Now, a.Log))
		handler.Handle("GET /metrics", metrics)
		a.serveSocket(ctx, listener, handler)
		a.serveControl(ctx)
	}
	return nil
}

func (a *agent) serve(ctx context.Context, listener net.Listener, handler http.Handler) {
	a.serveBy(ctx, nil, listener, handler)
}

func (a *agent) serveBy(ctx context.Context, web *serving.WebConfig, listener net.Listener, handler http.Handler) {
	a.servers.Go(func() {
		if err := web.Serve(ctx, listener, handler, a.Log); err != nil {
			select {
			case a.failed <- err:
			default: // one failure ends the agent
			}
		}
	})
}

// meterSource is the meter as a source for the outputs, with who is connected.
type meterSource struct {
	meter       *accounting.Meter
	connections *connections.Meter
	interval    time.Duration
}

func (s meterSource) Report(context.Context) (*accounting.Report, error) {
	return s.complete(s.meter.Refresh())
}

func (s meterSource) complete(report *accounting.Report, err error) (*accounting.Report, error) {
	if err == nil {
		s.connections.Complete(report)
	}
	return report, err
}

func (s meterSource) Health() api.Health {
	status := s.meter.Status()
	return api.Health{LastRead: status.LastRead, Interval: s.interval, Err: errors.Join(status.LastError, status.RepairError)}
}
