package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"ssmonitor/accounting"
)

// Feed is what the agent publishes from. Its methods are called from many
// goroutines at a time.
type Feed interface {
	// Report reads the counters afresh. Nobody changes a report once it is
	// handed out.
	Report(ctx context.Context) (*accounting.Report, error)
	// Health tells how the agent's own readings go.
	Health() Health
}

// Health is how the agent's readings go.
type Health struct {
	LastRead time.Time     // of the last reading that succeeded; zero: none did
	Interval time.Duration // at which the agent reads
	Err      error         // of the last reading, nil if it succeeded
}

// Check returns nil if the agent reads as it should, or what is wrong: the last
// reading failed, or is older than three intervals and ten seconds.
func (h Health) Check(now time.Time) error {
	limit := max(3*h.Interval, 10*time.Second)
	switch age := now.Sub(h.LastRead); {
	case h.Err != nil:
		return fmt.Errorf("the last reading of the counters failed: %w", h.Err)
	case h.LastRead.IsZero():
		return errors.New("the counters have not been read yet")
	case age > limit:
		return fmt.Errorf("the last reading of the counters is %s old, expected at most %s",
			age.Round(time.Second), limit)
	}
	return nil
}

// readingTime bounds how long a request waits for a reading.
const readingTime = 5 * time.Second

// NewHandler answers GET /v1/ports with the JSON of [WriteJSON] and GET
// /healthz with 200 or 503 and a reason. Other methods are answered with 405:
// nothing can be changed here. More paths may be added to what it returns.
func NewHandler(feed Feed, now func() time.Time, log *slog.Logger) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ports", func(w http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), readingTime)
		defer cancel()
		report, err := feed.Report(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		setJSON(w.Header())
		if err := WriteJSON(w, report); err != nil {
			log.Debug("answering", "path", request.URL.Path, "error", err)
		}
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, request *http.Request) {
		answerHealth(w, feed.Health(), now())
	})
	return mux
}

// NewMetricsHandler answers GET /metrics, and nothing else: it is what may be
// reached over the network. Until the metrics themselves are written the answer
// is that of /healthz.
func NewMetricsHandler(feed Feed, now func() time.Time) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		answerHealth(w, feed.Health(), now())
	})
	return mux
}

// answerHealth writes {"status":"ok","last_read":TIME} with 200, or status
// failing and a reason with 503.
func answerHealth(w http.ResponseWriter, health Health, now time.Time) {
	answer := struct {
		Status   string `json:"status"`
		Reason   string `json:"reason,omitempty"`
		LastRead string `json:"last_read,omitempty"`
	}{Status: "ok"}
	if !health.LastRead.IsZero() {
		answer.LastRead = health.LastRead.UTC().Format(jsonTime)
	}
	code := http.StatusOK
	if err := health.Check(now); err != nil {
		answer.Status, answer.Reason = "failing", err.Error()
		code = http.StatusServiceUnavailable
	}
	setJSON(w.Header())
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer) // A client that is gone needs no answer.
}

func setJSON(header http.Header) {
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
}
