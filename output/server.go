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

// limits bounds the resources that a slow or hostile client can hold.
type limits struct {
	request     time.Duration // from the connection to the end of the request
	response    time.Duration // from the end of the request to the end of the response
	shutdown    time.Duration // for responses in progress when the server stops
	connections int
}

// Serve serves HTTP on listener until ctx ends, then closes it and returns nil.
// It returns an error if the listener fails.
//
// A connection serves one request. The client has 2 seconds to send it, in at
// most 8 KiB, and 10 seconds to read the response. At most 64 connections are
// served at a time; further ones wait. Since there are no persistent
// connections, no client occupies one of the 64 for longer.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	return serve(ctx, listener, handler, log, servingLimits)
}

var servingLimits = limits{
	request:     2 * time.Second,
	response:    10 * time.Second,
	shutdown:    2 * time.Second,
	connections: 64,
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, limits limits) error {
	server := newServer(handler, log, limits)
	return runServer(ctx, server, listener, server.Serve, log, limits)
}

func newServer(handler http.Handler, log *slog.Logger, limits limits) *http.Server {
	server := &http.Server{
		Handler:        handler,
		ReadTimeout:    limits.request, // also covers what net/http reads of a body; the handlers read none
		WriteTimeout:   limits.response,
		MaxHeaderBytes: 4 << 10, // net/http adds another 4 KiB
		// "OPTIONS *" goes to the handler, which refuses it.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

// runServer calls serveOn, which serves on the listener, until ctx ends.
func runServer(ctx context.Context, server *http.Server, listener net.Listener, serveOn func(net.Listener) error, log *slog.Logger, limits limits) error {
	done := make(chan error, 1)
	go func() { done <- serveOn(netutil.LimitListener(listener, limits.connections)) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}

	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.shutdown)
	defer cancel()
	if err := server.Shutdown(shutdownCtx); err != nil {
		log.Debug("aborted the responses in progress", "error", err, "close_error", server.Close())
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}
