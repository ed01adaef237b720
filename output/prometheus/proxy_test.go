package prometheus

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
	"ssmonitor/output/api"
)

// newProxy returns the handler of a proxy to an agent that answers by another one.
func newProxy(t *testing.T, agent http.Handler, names bool) http.Handler {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	servingtest.ServeUntilEnd(t, servingtest.Listen(t, path), agent)
	return (&Proxy{Agent: api.NewClient(path), Names: names, Now: time.Now, Observe: func(error) {}}).NewHandler()
}

// TestProxyAnswersAsTheAgent compares the answers to all that clients ask for.
func TestProxyAnswersAsTheAgent(t *testing.T) {
	for _, ports := range []int{2, 500} { // the large page is compressed
		source := sampleMetered()
		source.report = sample.ManyPorts(ports)
		source.report.Ports[0].Port.Name = "alice"
		agent := NewHandler(sampleMetrics(source, true), sample.AtNoon)
		for _, names := range []bool{true, false} {
			proxy, query := newProxy(t, agent, names), map[bool]string{true: "", false: "?names=no"}[names]
			for _, accept := range []string{"", string(openMetricsFormat)} {
				for _, encoding := range []string{"", "gzip"} {
					header := map[string]string{"Accept": accept, "Accept-Encoding": encoding}
					want, got := scrape(t, agent, http.MethodGet, "/metrics"+query, header), scrape(t, proxy, http.MethodGet, "/metrics", header)
					for _, name := range []string{"Content-Type", "Content-Encoding", "Vary", "Cache-Control"} {
						if got, want := got.Header().Get(name), want.Header().Get(name); got != want {
							t.Errorf("%v: %s: got %q, want %q", header, name, got, want)
						}
					}
					if length := got.Header().Get("Content-Length"); length != strconv.Itoa(got.Body.Len()) {
						t.Errorf("%v: got length %s of %d bytes", header, length, got.Body.Len())
					}
					if got, want := series(t, got.Body), series(t, want.Body); got != want || strings.Contains(got, "alice") != names {
						t.Errorf("%v: got\n%.500s\nwant\n%.500s", header, got, want)
					}
				}
			}
			for _, path := range []string{"/", "/v1/ports", "/metrics/", "/healthz", "/v1/usage"} {
				if got := scrape(t, proxy, http.MethodGet, path, nil).Code; got != http.StatusNotFound {
					t.Errorf("%s: got %d", path, got)
				}
			}
			if got := scrape(t, proxy, http.MethodPost, "/metrics", nil).Code; got != http.StatusMethodNotAllowed {
				t.Errorf("POST: got %d", got)
			}
			if page := scrape(t, proxy, http.MethodGet, "/metrics?names=yes", nil).Body.String(); strings.Contains(page, "alice") != names {
				t.Errorf("a client chooses the names:\n%.500s", page)
			}
		}
	}
}

// series returns the lines of a page that do not differ from one scrape to the next.
func series(t *testing.T, page *bytes.Buffer) string {
	t.Helper()
	var content io.Reader = page
	if bytes.HasPrefix(page.Bytes(), []byte("\x1f\x8b")) {
		unpacked, err := gzip.NewReader(page)
		if err != nil {
			t.Fatal(err)
		}
		content = unpacked
	}
	text, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	stable, _, _ := strings.Cut(string(text), "# HELP process_")
	return stable
}

// TestProxyRefusesWhatIsNoPage has 503 and the reason in place of what is no page.
func TestProxyRefusesWhatIsNoPage(t *testing.T) {
	answer := func(code int, kind, encoding, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	text := string(textFormat)
	for _, test := range []struct {
		name  string
		agent http.Handler
		want  string
	}{
		{"no page", http.NotFoundHandler(), "what answers there is not ssmonitor's agent"},
		{"another type", answer(http.StatusOK, "text/html", "", "<p>"), `the type of its answer is "text/html"`},
		{"no gzip data", answer(http.StatusOK, text, "gzip", "\x1f\x8b"), "no gzip data"},
		{"broken gzip data", answer(http.StatusOK, text, "gzip", "no gzip data"), "gzip: invalid header"},
		{"too large", answer(http.StatusOK, text, "", strings.Repeat("x", largestPage+1)), "more than 33554432 bytes"},
		{"a failure", answer(http.StatusServiceUnavailable, text, "", "the disk\x1b[2J is full"), `503 Service Unavailable: the disk\x1b[2J is full`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := scrape(t, newProxy(t, test.agent, true), http.MethodGet, "/metrics", nil)
			if got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), test.want) {
				t.Errorf("got %d %s, want 503 and %q", got.Code, got.Body, test.want)
			}
		})
	}
}

// TestProxyObservesTheAgent has no agent, then one, and none again.
func TestProxyObservesTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	var observed error
	proxy := (&Proxy{Agent: api.NewClient(path), Names: true, Now: time.Now, Observe: func(err error) { observed = err }}).NewHandler()
	expect := func(code int, running bool) {
		t.Helper()
		got := scrape(t, proxy, http.MethodGet, "/metrics", nil)
		if got.Code != code || errors.Is(observed, api.ErrAgentNotRunning) == running {
			t.Errorf("got %d and %v, want %d\n%.300s", got.Code, observed, code, got.Body)
		}
	}
	expect(http.StatusServiceUnavailable, false)
	stop := servingtest.Start(t, path, NewHandler(sampleMetrics(sampleMetered(), true), time.Now), servingtest.Generous)
	expect(http.StatusOK, true)
	expect(http.StatusOK, true)
	stop()
	expect(http.StatusServiceUnavailable, false)
}

// TestScrapersShareWhatTheAgentAnswers has 50 clients while the agent takes its time.
func TestScrapersShareWhatTheAgentAnswers(t *testing.T) {
	var requests atomic.Int64
	asked, answer := make(chan struct{}), make(chan struct{})
	page := NewHandler(sampleMetrics(sampleMetered(), true), time.Now)
	proxy := newProxy(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if requests.Add(1) == 1 {
			close(asked)
		}
		<-answer
		page.ServeHTTP(w, req)
	}), true)
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			if got := scrape(t, proxy, http.MethodGet, "/metrics", nil); got.Code != http.StatusOK {
				t.Errorf("got %d %s", got.Code, got.Body)
			}
		})
	}
	<-asked
	if got := requests.Load(); got != 1 {
		t.Errorf("the agent has %d clients at a time, want one", got)
	}
	close(answer)
	clients.Wait()
}
