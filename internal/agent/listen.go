package agent

import (
	"context"
	"net"
	"net/http"
	"time"

	"ssmonitor/internal/health"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/unit"
	"ssmonitor/output/api"
)

// listen serves readers on the agent's socket, and root on the control socket.
func (a *agent) listen(ctx context.Context, metrics http.Handler) error {
	if a.settings.Socket != "" {
		listener, err := serving.ListenSocket(a.settings.Socket, settings.Group, a.Log)
		if err != nil {
			return unit.WriteError(err, a.settings.Socket, a.Lookup)
		}
		handler := api.NewHandler(a.readings, time.Now, a.Log)
		handler.Handle("GET /v1/usage", api.NewUsageHandler(freshHistory{a.history, a.readings}, a.warn, time.Now, a.Log))
		handler.Handle("GET /v1/unsaved", api.NewUnsavedHandler(a.unsaved, time.Now, a.Log))
		handler.Handle("GET /v1/settings", api.NewSettingsHandler(a.publishedSettings, a.Log))
		handler.Handle("GET /metrics", metrics)
		a.serveSocket(ctx, listener, health.Socket, handler)
		a.serveControl(ctx)
	}
	return nil
}

// serve serves until ctx ends; if that fails, the agent ends.
func (a *agent) serve(ctx context.Context, listener net.Listener, handler http.Handler) {
	server := serving.Server{Handler: handler, Limits: serving.DefaultLimits(), Log: a.Log}
	a.servers.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			select {
			case a.failed <- err:
			default: // one failure ends the agent
			}
		}
	})
}
