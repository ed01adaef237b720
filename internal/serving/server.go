package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits bounds the resources that a slow or hostile client can hold.
type Limits struct {
	Request     time.Duration // from the connection to the end of the request
	Response    time.Duration // from the end of the request to the end of the response
	Stall       time.Duration // in which the client takes nothing of the response
	Patience    time.Duration // of waiting for the client while another connection needs the place
	Shutdown    time.Duration // for responses in progress when the server stops
	Connections int
}

// Serve serves HTTP on listener until ctx ends, then closes it and returns nil.
// It returns an error if the listener fails.
//
// A connection serves one request, by HTTP/1. The client has 2 seconds to send it, in
// at most 8 KiB, and 30 seconds to read the response; it is disconnected after 3
// seconds in which it takes nothing.
//
// At most 128 connections are served at a time. Of these, a further one takes the place
// of the oldest that has not sent its request, or else of the one that has taken nothing
// of its response for the longest, if that has lasted 50 ms. So clients that do nothing
// hardly delay others. Each listener has places of its own; those of five are well below
// the 1024 files that the unit may open.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	return ServeWithin(ctx, listener, handler, log, DefaultLimits)
}

// DefaultLimits are those of [Serve].
var DefaultLimits = Limits{
	Request:     2 * time.Second,
	Response:    30 * time.Second,
	Stall:       3 * time.Second,
	Patience:    50 * time.Millisecond,
	Shutdown:    2 * time.Second,
	Connections: 128,
}

// ServeWithin is [Serve] with other limits.
func ServeWithin(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, limits Limits) error {
	server := newServer(handler, log, limits)
	return runServer(ctx, server, listener, server.Serve, log, limits)
}

func newServer(handler http.Handler, log *slog.Logger, limits Limits) *http.Server {
	server := &http.Server{
		Handler:        markRequests(handler),
		ConnContext:    withConn,
		ReadTimeout:    limits.Request, // also covers what net/http reads of a body; the handlers read none
		WriteTimeout:   limits.Response,
		MaxHeaderBytes: 4 << 10, // net/http adds another 4 KiB
		// "OPTIONS *" goes to the handler, which refuses it.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true) // over HTTP/2, one connection may request hundreds of responses
	return server
}

// runServer calls serveOn, which serves on the listener, until ctx ends.
func runServer(ctx context.Context, server *http.Server, listener net.Listener, serveOn func(net.Listener) error, log *slog.Logger, limits Limits) error {
	done := make(chan error, 1)
	go func() { done <- serveOn(newLimiter(listener, limits)) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}

	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.Shutdown)
	defer cancel()
	if err := server.Shutdown(shutdownCtx); err != nil {
		log.Debug("aborted the responses in progress", "error", err, "close_error", server.Close())
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}
