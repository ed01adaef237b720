package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/unit"
	"ssmonitor/output/api"
)

// metricsSocket is the name of systemd's socket for /metrics: its unit's
// FileDescriptorName=.
const metricsSocket = "metrics"

// listen serves root on the control socket, readers on the agent's own, and metrics there, on --listen
// and on the sockets that systemd opened.
func (a *agent) listen(ctx context.Context, metrics http.Handler) error {
	inherited, err := activation.ListenersWithNames()
	if err != nil {
		return fmt.Errorf("inheriting the sockets from systemd: %w", err)
	}
	for _, listener := range inherited[metricsSocket] {
		a.serveMetrics(ctx, listener, metrics)
	}
	if a.settings.Listen != "" {
		listener, err := net.Listen("tcp", a.settings.Listen)
		if err != nil {
			return unit.ListenError(fmt.Errorf("listening for /metrics: %w", err), a.Lookup)
		}
		a.serveMetrics(ctx, listener, metrics)
	}
	if a.settings.Socket != "" {
		listener, err := serving.ListenSocket(a.settings.Socket, settings.Group, a.Log)
		if err != nil {
			return unit.WriteError(err, a.settings.Socket, a.Lookup)
		}
		handler := api.NewHandler(a.readings, time.Now, a.Log)
		handler.Handle("GET /v1/usage", api.NewUsageHandler(freshHistory{a.history, a.readings}, a.settings.Warn, time.Now, a.Log))
		handler.Handle("GET /v1/unsaved", api.NewUnsavedHandler(a.unsaved, time.Now, a.Log))
		handler.Handle("GET /metrics", metrics)
		a.serveSocket(ctx, listener, handler)
		a.serveControl(ctx)
	}
	return nil
}

// serveMetrics serves metrics on a listener that may be reachable over the network.
func (a *agent) serveMetrics(ctx context.Context, listener net.Listener, metrics http.Handler) {
	if missing := a.web.Exposure(listener); missing != "" {
		content := "the names and traffic of the clients"
		if !a.settings.MetricsNames {
			content = "the traffic of every port"
		}
		a.Log.Warn("metrics, with "+content+", are served to other hosts without "+missing+
			": add it with --web-config, or listen on 127.0.0.1", "address", listener.Addr().String())
	}
	a.serve(ctx, listener, metrics, a.web)
}

// serve serves until ctx ends; if that fails, the agent ends. Without a web configuration
// it is plain HTTP.
func (a *agent) serve(ctx context.Context, listener net.Listener, handler http.Handler, web *serving.WebConfig) {
	server := serving.Server{Handler: handler, Web: web, Limits: serving.DefaultLimits(), Log: a.Log}
	a.servers.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			select {
			case a.failed <- err:
			default: // one failure ends the agent
			}
		}
	})
}
