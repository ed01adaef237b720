package prometheus

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit/sample"
)

func scrape(t *testing.T, handler http.Handler, method, path string, header map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(method, path, nil)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, req)
	return response
}

func TestMetricsHandlerNegotiates(t *testing.T) {
	source := sampleMetered()
	source.report = sample.ManyPorts(500)
	handler := NewHandler(sampleMetrics(source, true), sample.AtNoon)
	const text, open = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"
	// What Prometheus 2.42 and 3.5 send.
	const old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	const current = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.2"
	for _, c := range []struct {
		name, accept, encoding, wantType, wantEncoding string
	}{
		{"curl", "*/*", "", text, ""},
		{"nothing", "", "", text, ""},
		{"Prometheus 2", old, "gzip", open, "gzip"},
		{"Prometheus 3", current, "gzip", open, "gzip"},
		{"protobuf only", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "", text, ""},
		{"an encoding that is refused", "*/*", "br, gzip;q=0", text, ""},
		{"several encodings", "*/*", "br;q=1.0, gzip;q=0.8, *;q=0.1", text, "gzip"},
		{"nonsense", ";;;,=/", ",;,=", text, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			response := scrape(t, handler, http.MethodGet, "/metrics", map[string]string{"Accept": c.accept, "Accept-Encoding": c.encoding})
			header := response.Result().Header
			if response.Code != http.StatusOK || header.Get("Content-Type") != c.wantType || header.Get("Content-Encoding") != c.wantEncoding {
				t.Fatalf("got %d %v", response.Code, header)
			}
			if length := header.Get("Content-Length"); length != strconv.Itoa(response.Body.Len()) {
				t.Errorf("got length %s of %d bytes", length, response.Body.Len())
			}
			if vary := header.Get("Vary"); vary != "Accept, Accept-Encoding" { // a cache would mix up the formats
				t.Errorf("got Vary: %q", vary)
			}
			var body io.Reader = response.Body
			if c.wantEncoding == "gzip" {
				unpacked, err := gzip.NewReader(body)
				if err != nil {
					t.Fatal(err)
				}
				body = unpacked
			}
			page, err := io.ReadAll(body)
			if err != nil || !bytes.Contains(page, []byte(`ssmonitor_port_bytes_total{port="500",name="client",proto="udp",direction="out"}`)) {
				t.Errorf("got %v and\n%.2000s", err, page)
			}
			if end := []byte("# EOF\n"); bytes.HasSuffix(page, end) != (c.wantType == open) {
				t.Errorf("the page ends with %q", page[len(page)-20:])
			}
		})
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodHead, "/metrics", http.StatusOK},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed},
		{"PROPFIND", "/metrics", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/metrics/", http.StatusNotFound},
		{http.MethodGet, "/v1/ports", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound},
	} {
		if got := scrape(t, handler, c.method, c.path, nil).Code; got != c.want {
			t.Errorf("%s %s: got %d, want %d", c.method, c.path, got, c.want)
		}
	}
}

func TestMetricsHandlerReadsOnceForAll(t *testing.T) {
	source := sampleMetered()
	var now atomic.Int64
	clock := func() time.Time { return sample.Noon.Add(time.Duration(now.Load())) }
	handler := NewHandler(sampleMetrics(source, true), clock)
	for _, step := range []struct {
		at   time.Duration
		want int64
	}{{0, 1}, {999 * time.Millisecond, 1}, {time.Second, 2}, {1500 * time.Millisecond, 2}, {-time.Hour, 3}} {
		now.Store(int64(step.at))
		var clients sync.WaitGroup
		for range 200 {
			clients.Go(func() {
				if response := scrape(t, handler, http.MethodGet, "/metrics", nil); response.Code != http.StatusOK {
					t.Errorf("got %d: %s", response.Code, response.Body)
				}
			})
		}
		clients.Wait()
		if got := source.readings.Load(); got != step.want {
			t.Errorf("at %s: got %d readings, want %d", step.at, got, step.want)
		}
	}
}

// leaving is a source whose first client leaves while the counters are read.
type leaving struct {
	*metered
	leave context.CancelFunc
}

func (l leaving) SavedReport(ctx context.Context) (*accounting.Report, error) {
	l.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.metered.SavedReport(ctx)
}

func TestMetricsHandlerSurvivesTheClientThatAskedFirst(t *testing.T) {
	hasty, leave := context.WithCancel(t.Context())
	handler := NewHandler(sampleMetrics(leaving{sampleMetered(), leave}, true), sample.AtNoon)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(hasty, http.MethodGet, "/metrics", nil))
	page := scrape(t, handler, http.MethodGet, "/metrics", nil).Body.String()
	if !strings.Contains(page, "ssmonitor_port_bytes_total") {
		t.Errorf("the second client got\n%s", page)
	}
}
