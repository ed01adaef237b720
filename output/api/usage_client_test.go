package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

func TestReadUsageReturnsWhatWasWritten(t *testing.T) {
	for _, name := range []string{"month", "days", "empty"} {
		written, err := os.ReadFile(filepath.Join("..", "report", "testdata", "usage_"+name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		read, err := ReadUsage(bytes.NewReader(written))
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.MarshalIndent(read, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer // with the characters escaped that HTML would take for markup
		json.HTMLEscape(&want, bytes.TrimSpace(written))
		if diff := cmp.Diff(want.String(), string(again)); diff != "" {
			t.Errorf("%s: -written +again:\n%s", name, diff)
		}
	}
	for _, text := range []string{"", "{", `{"by": "day"`} {
		if _, err := ReadUsage(strings.NewReader(text)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestClientRequestsUsage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	now := func() time.Time { return time.Date(2026, 11, 24, 16, 17, 24, 0, sample.Tehran) }
	listener := servingtest.Listen(t, path)
	server := &http.Server{Handler: NewUsageHandler(sample.WideUsage(), func() usage.Limits { return usage.Limits{} }, now, testkit.Quiet()), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	client := NewClient(path)
	report, err := client.Usage(t.Context(), url.Values{"by": {"day"}, "client": {"علی رضا"}, "last": {"2d"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Periods) != 2 || len(report.Periods[0].Clients) != 1 || report.Periods[0].Clients[0].Client != "علی رضا" {
		t.Errorf("got %+v", report)
	}
	if _, err := client.Usage(t.Context(), url.Values{"client": {"nobody"}}); err == nil || !strings.Contains(err.Error(), `400 Bad Request: client "nobody" is not known`) {
		t.Errorf("an unknown client: %v", err)
	}
	_ = server.Close()
	if _, err := client.Usage(t.Context(), nil); !errors.Is(err, ErrAgentNotRunning) || !strings.Contains(err.Error(), "systemctl start ssmonitor") {
		t.Errorf("without an agent: %v", err)
	}
}

// TestClientReplacesControlCharacters asks a socket on which another program answers.
func TestClientReplacesControlCharacters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener := servingtest.Listen(t, path)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "\x1b[2Jgone\nfor good", http.StatusNotFound)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	_, err := NewClient(path).Report(t.Context())
	if err == nil || !strings.Contains(err.Error(), `(answered 404 Not Found: \x1b[2Jgone for good)`) {
		t.Errorf("got %q", err)
	}
}
