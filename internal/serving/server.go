package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
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

// DefaultLimits are those of every listener of the agent. Each has places of its own; those of
// five are well below the 1024 files that the unit may open.
func DefaultLimits() Limits {
	return Limits{
		Request:     2 * time.Second,
		Response:    30 * time.Second,
		Stall:       3 * time.Second,
		Patience:    50 * time.Millisecond,
		Shutdown:    2 * time.Second,
		Connections: 128,
	}
}

// Server serves HTTP/1, one request per connection, of at most 8 KiB. When all places are
// taken, a further connection takes the place of the oldest that has not sent its request, or
// else of the one that has taken nothing of its response for the longest, if that has lasted
// for Limits.Patience. So clients that do nothing hardly delay others.
type Server struct {
	Handler http.Handler
	Web     *WebConfig // TLS and authentication; nil: neither
	Limits  Limits
	Log     *slog.Logger
}

// Serve serves on listener until ctx ends, then closes it and returns nil. It returns an
// error if the listener fails. The web configuration and its certificates are read again
// for every connection.
func (s Server) Serve(ctx context.Context, listener net.Listener) error {
	server := newServer(s.Handler, s.Log, s.Limits)
	limited, done := newLimiter(listener, s.Limits), make(chan error, 1)
	go func() {
		if s.Web == nil {
			done <- server.Serve(limited)
		} else {
			done <- web.Serve(limited, server, &web.FlagConfig{WebConfigFile: &s.Web.path}, s.Log)
		}
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}

	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Limits.Shutdown)
	defer cancel()
	if err := server.Shutdown(shutdownCtx); err != nil {
		s.Log.Debug("aborted the responses in progress", "error", err, "close_error", server.Close())
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
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
