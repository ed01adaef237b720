package output

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// limits bound what a slow or hostile client can take.
type limits struct {
	request     time.Duration // from the connection to the end of the request
	answer      time.Duration // from there to the end of the answer
	shutdown    time.Duration // for answers under way when the server ends
	connections int
}

// Serve answers requests on listener until ctx ends, closes it and returns nil.
// An error says that the listener failed.
//
// A connection serves one request: it has 2 seconds to send it, in no more than
// 8 KiB, and 10 seconds to take the answer. At most 64 are served at a time,
// further ones wait for a place. Without kept connections nobody holds a place
// longer than that.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	return serve(ctx, listener, handler, log, limits{
		request:     2 * time.Second,
		answer:      10 * time.Second,
		shutdown:    2 * time.Second,
		connections: 64,
	})
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, limits limits) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: limits.request,
		ReadTimeout:       limits.request, // A body is never read by a handler, net/http reads a little of it.
		WriteTimeout:      limits.answer,
		MaxHeaderBytes:    4 << 10, // net/http adds as much.
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)

	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(listener, limits.connections)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}

	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.shutdown)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.Debug("ending answers under way", "error", err, "closing", server.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}
