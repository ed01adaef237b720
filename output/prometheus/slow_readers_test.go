package prometheus

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

// metricsRequests ask for every format there is.
var metricsRequests = []string{
	"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\nAccept-Encoding: gzip\r\n\r\n",
}

// TestSlowScrapersHoldTwoVersions has slow readers in all formats, four more in each
// second. However many there are, what they hold is not more than the pages of two
// seconds in all formats, and another scraper gets its page.
func TestSlowScrapersHoldTwoVersions(t *testing.T) {
	source := sampleMetered()
	source.report = sample.ManyPorts(5000)
	for i := range source.report.Ports {
		source.report.Ports[i].Port.Name = "client-of-many-" + time.Duration(i*i*7919).String() // does not compress well
	}
	var second atomic.Int64
	clock := func() time.Time { return sample.Noon.Add(time.Duration(second.Load()) * time.Second) }
	listener := servingtest.ListenTCP(t)
	servingtest.ServeUntilEnd(t, listener, newProxy(t, NewHandler(sampleMetrics(source, true), clock), true))
	page, err := servingtest.Fetch(listener.Addr(), 30*time.Second)
	if err != nil || page < 5<<20 {
		t.Fatalf("got a page of %d bytes, want a large one: %v", page, err)
	}
	before := servingtest.Heap()
	var most uint64
	for range 15 {
		second.Add(1)
		for _, request := range metricsRequests {
			servingtest.SlowReader(t, listener.Addr(), request)
		}
		now := servingtest.Heap()
		most = max(most, now-min(now, before))
		if _, err := servingtest.Fetch(listener.Addr(), 30*time.Second); err != nil {
			t.Fatalf("a scraper that reads gets %v", err)
		}
	}
	t.Logf("a page has %d KB, and the readers of 15 seconds hold %d KB", page>>10, most>>10)
	// Of a second there are two large pages, and two that are compressed to a tenth.
	if most > 5*uint64(page) {
		t.Errorf("slow readers hold %d KB, want at most five times a page, which has %d KB", most>>10, page>>10)
	}
}

// TestSlowReaderHasThreeSeconds has a slow reader of the first second, and another one of
// the next. A third one gets what the second got for as long as the first may go on reading.
func TestSlowReaderHasThreeSeconds(t *testing.T) {
	source := sampleMetered()
	source.report = sample.ManyPorts(5000)
	for seconds, complete := range map[int64]bool{2: true, 3: false} {
		t.Run(fmt.Sprintf("after %d s", seconds), func(t *testing.T) {
			var second atomic.Int64
			clock := func() time.Time { return sample.Noon.Add(time.Duration(second.Load()) * time.Second) }
			listener := servingtest.Listen(t, filepath.Join(t.TempDir(), "socket"))
			handler := NewHandler(sampleMetrics(source, true), clock)
			servingtest.ServeWithin(t, listener, handler, servingtest.Generous) // only the clock ends a response
			first := servingtest.Dial(t, listener.Addr().String())
			servingtest.Send(t, first, metricsRequests[0])
			response, err := http.ReadResponse(bufio.NewReader(first), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // it is broken on purpose
			second.Store(1)
			servingtest.SlowReader(t, listener.Addr(), metricsRequests[0])
			second.Store(1 + seconds)
			began := time.Now()
			servingtest.Request(t, listener.Addr().String(), metricsRequests[0])
			if waited := time.Since(began); waited > servingtest.Generous.Stall/2 {
				t.Errorf("the third client waited for %s", waited)
			}
			if size, err := io.Copy(io.Discard, response.Body); (err == nil) != complete {
				t.Errorf("the first client got %d bytes, %v", size, err)
			}
		})
	}
}
