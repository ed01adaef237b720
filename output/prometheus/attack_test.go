package prometheus

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

// TestMetricsUnderAttack sends what no scraper sends, over and over. Afterwards
// nothing of it is left, and the metrics are still served.
func TestMetricsUnderAttack(t *testing.T) {
	source := sampleMetered()
	source.report = sample.ManyPorts(2000)
	handler := newProxy(t, NewHandler(sampleMetrics(source, true), time.Now), true)
	limits := serving.Limits{Request: 200 * time.Millisecond, Response: time.Second, Shutdown: time.Second, Stall: time.Second, Patience: time.Second, Connections: 64}
	listener := servingtest.ListenTCP(t)
	servingtest.ServeWithin(t, listener, handler, limits)
	address := listener.Addr().String()
	scrapeOnce := func() error {
		size, err := servingtest.Fetch(listener.Addr(), 20*time.Second)
		if err == nil && size < 1<<20 {
			err = fmt.Errorf("got %d bytes", size)
		}
		return err
	}
	if err := scrapeOnce(); err != nil {
		t.Fatal(err)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)

	attacks := map[string]string{
		"huge header":          "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 64<<10) + "\r\n\r\n",
		"many headers":         "GET /metrics HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 10000) + "\r\n",
		"huge path":            "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"unfinished request":   "GET /metrics HTTP/1.1\r\nHost: x\r\n",
		"slow body":            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx",
		"endless chunks":       "GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
		"smuggled request":     "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"odd method":           "BREW /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"connect":              "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
		"options of all":       "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"absolute address":     "GET http://example.com/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"path trick":           "GET /metrics/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"encoded path trick":   "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"double slash":         "GET //metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"broken escape":        "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/2 without TLS":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"upgrade":              "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"TLS without TLS":      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"zeros":                strings.Repeat("\x00", 4096),
		"nothing":              "",
		"a page nobody takes":  "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"many ranges":          "GET /metrics HTTP/1.1\r\nHost: x\r\nRange: bytes=" + strings.Repeat("0-1,", 500) + "\r\n\r\n",
		"expect":               "GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
		"many media types":     "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: " + strings.Repeat("a/b;q=0.1,", 300) + "\r\n\r\n",
		"HTTP/0.9":             "GET /metrics\r\n\r\n",
		"HTTP/1.0 and no host": "GET /metrics HTTP/1.0\r\n\r\n",
	}
	var attackers sync.WaitGroup
	for name, request := range attacks {
		for range 8 {
			attackers.Go(func() {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				defer func() { _ = connection.Close() }()
				if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(connection, request) // the server may have closed already
				if name == "a page nobody takes" {
					time.Sleep(2 * limits.Response) // the client's slowness is what is tested
					return
				}
				answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
				if err != nil {
					return // refused without an answer
				}
				defer func() { _ = answer.Body.Close() }()
				content, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
				if answer.StatusCode == http.StatusOK && !bytes.HasPrefix(content, []byte("# HELP ssmonitor_port_bytes_total")) {
					t.Errorf("%s: got %s\n%.200s", name, answer.Status, content)
				}
			})
		}
	}
	attackers.Wait()
	testkit.Until(t, "the metrics are served again", func() bool { return scrapeOnce() == nil })
	testkit.Until(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	testkit.Until(t, "all files are closed", func() bool { return openFiles(t) <= files })
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
