// Package api is the agent's socket: what it answers, as JSON, and the client that reads
// it.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/terminal"
)

// Readings are what the agent publishes. Their methods are safe for
// concurrent use.
type Readings interface {
	// Report reads the counters anew. The report must not be changed once it
	// is returned.
	Report(ctx context.Context) (*accounting.Report, error)
	// Health returns what the agent knows about itself.
	Health() Health
}

// Health is the state of the agent's readings, and what else is wrong.
type Health struct {
	LastRead time.Time     // the last successful reading; zero if there was none
	Interval time.Duration // at which the agent reads
	Err      error         // of the last reading; nil if it succeeded
	Problems []health.Problem
}

// StaleAfter returns the age from which on what an agent reads or writes at every interval
// shows that it does not.
func StaleAfter(interval time.Duration) time.Duration { return max(3*interval, 10*time.Second) }

// Check returns nil if nothing is wrong. It returns an error if the last reading failed, or
// is too old by StaleAfter, and one for each problem that is not a note.
func (h Health) Check(now time.Time) error {
	errs := []error{h.checkReading(now)}
	for _, problem := range health.WithoutNotes(h.Problems) {
		if h.Err == nil || problem.ID != health.Readings && problem.ID != health.Table { // has been named
			errs = append(errs, errors.New(problem.Message))
		}
	}
	return errors.Join(errs...)
}

func (h Health) checkReading(now time.Time) error {
	limit := StaleAfter(h.Interval)
	switch age := now.Sub(h.LastRead); {
	case h.Err != nil:
		return fmt.Errorf("the last reading of the counters failed: %w", h.Err)
	case h.LastRead.IsZero():
		return errors.New("the counters have not been read yet")
	case age > limit:
		return fmt.Errorf("the last reading of the counters is %s old, want at most %s",
			age.Round(time.Second), limit)
	}
	return nil
}

// NewHandler serves GET /v1/ports as the JSON of [WriteReport], GET /v1/problems, and
// GET /healthz as 200 or 503 with a reason: one line per problem that is not a note. It answers other methods with 405: clients
// cannot change anything. The caller may add more paths to the returned mux.
func NewHandler(source Readings, now func() time.Time, log *slog.Logger) *http.ServeMux {
	mux := http.NewServeMux()
	// A report of many ports is large, and a slow client holds it for as long as it reads.
	reports := serving.NewShared(source.Report, 0, now)
	mux.HandleFunc("GET /v1/ports", func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), serving.ReadTimeout)
		defer cancel()
		reports.Read(ctx, w, func(report *accounting.Report, err error) {
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			setJSONHeader(w.Header())
			if err := WriteReport(w, report); err != nil {
				log.Debug("writing a response failed", "path", req.URL.Path, "error", err)
			}
		})
	})
	mux.HandleFunc("GET /v1/problems", func(w http.ResponseWriter, _ *http.Request) {
		writeProblems(w, source.Health().Problems)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, source.Health(), now())
	})
	return mux
}

// writeHealth writes {"status":"ok","last_read":TIME} with code 200, or the
// status "failing" and a reason with code 503.
func writeHealth(w http.ResponseWriter, state Health, now time.Time) {
	response := struct {
		Status   string `json:"status"`
		Reason   string `json:"reason,omitempty"`
		LastRead string `json:"last_read,omitempty"`
	}{Status: "ok"}
	if !state.LastRead.IsZero() {
		response.LastRead = state.LastRead.UTC().Format(jsonTime)
	}
	code := http.StatusOK
	if err := state.Check(now); err != nil {
		response.Status, response.Reason = "failing", err.Error()
		code = http.StatusServiceUnavailable
	}
	setJSONHeader(w.Header())
	w.WriteHeader(code)
	_ = terminal.NewJSONEncoder(w).Encode(response) // a client that has disconnected needs no response
}

func setJSONHeader(header http.Header) {
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
}
