package api

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/internal/health"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

// TestProblems has the client read what the agent serves, and /healthz name each problem.
func TestProblems(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{health: Health{LastRead: sample.Noon, Interval: time.Second}}
	start(t, path, feed, servingtest.Generous)
	if got, err := NewClient(path).Problems(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("without problems: got %v, %v", got, err)
	}
	feed.health.Problems = []health.Problem{
		{ID: health.Connections, Level: health.Note, Since: sample.Noon, Message: "not supported"},
		{ID: health.Saves, Level: health.Wrong, Since: sample.Noon, Message: "disk full", Remedy: "make room"},
		{ID: health.Table, Since: sample.Noon.Add(time.Hour), Message: "refused", Remedy: "look"},
	}
	got, err := NewClient(path).Problems(t.Context())
	if difference := cmp.Diff(feed.health.Problems, got); err != nil || difference != "" {
		t.Errorf("got %v (-served +read)\n%s", err, difference)
	}
	for _, test := range []struct {
		err  error
		want string // without the note
	}{
		{nil, `"reason":"disk full\nrefused"`},
		{errors.New("refused"), `"reason":"the last reading of the counters failed: refused\ndisk full"`},
	} {
		feed.health.Err = test.err
		answer := servingtest.Request(t, path, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body, test.want) {
			t.Errorf("got %d %s, want %s", answer.Code, answer.Body, test.want)
		}
	}
	feed.health = Health{LastRead: sample.Noon, Interval: time.Second, Problems: feed.health.Problems[:1]}
	if answer := servingtest.Request(t, path, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); answer.Code != http.StatusOK {
		t.Errorf("with a note: got %d %s", answer.Code, answer.Body)
	}
}

// TestProblemsOfAnotherVersion asks an agent without the path, and something else.
func TestProblemsOfAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	stop := servingtest.Start(t, path, http.NotFoundHandler(), servingtest.Generous)
	if _, err := NewClient(path).Problems(t.Context()); !errors.Is(err, ErrOldAgent) {
		t.Errorf("got %v, want ErrOldAgent", err)
	}
	stop()
	if _, err := NewClient(path).Problems(t.Context()); !errors.Is(err, ErrAgentNotRunning) {
		t.Errorf("got %v, want ErrAgentNotRunning", err)
	}
}
