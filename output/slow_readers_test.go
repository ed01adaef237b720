package output

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"weak"

	"ssmonitor/accounting"
)

// slowReader requests a page, waits until the response begins, and takes no more of it
// than its small buffer holds.
func slowReader(t *testing.T, address net.Addr, request string) {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if controlErr := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		}); controlErr != nil {
			return controlErr
		}
		return err
	}}
	connection, err := dialer.DialContext(t.Context(), address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	send(t, connection, request)
	if _, err := connection.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// heap returns the memory that is in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapAlloc
}

// metricsRequests ask for every format there is.
var metricsRequests = []string{
	"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\nAccept-Encoding: gzip\r\n\r\n",
}

// TestSlowScrapersHoldTwoGenerations has slow readers in all formats, four more in each
// second. However many there are, what they hold is not more than the pages of two
// seconds in all formats, and another scraper gets its page.
func TestSlowScrapersHoldTwoGenerations(t *testing.T) {
	source := sampleMetered()
	source.report = manyPorts(5000)
	for i := range source.report.Ports {
		source.report.Ports[i].Port.Name = "client-of-many-" + time.Duration(i*i*7919).String() // does not compress well
	}
	var second atomic.Int64
	clock := func() time.Time { return noon.Add(time.Duration(second.Load()) * time.Second) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, listener, NewMetricsHandler(sampleMetrics(source, true), clock))
	page, err := scrapeWithin(listener.Addr(), 30*time.Second)
	if err != nil || page < 5<<20 {
		t.Fatalf("got a page of %d bytes, want a large one: %v", page, err)
	}
	before := heap()
	var most uint64
	for range 15 {
		second.Add(1)
		for _, request := range metricsRequests {
			slowReader(t, listener.Addr(), request)
		}
		now := heap()
		most = max(most, now-min(now, before))
		if _, err := scrapeWithin(listener.Addr(), 30*time.Second); err != nil {
			t.Fatalf("a scraper that reads gets %v", err)
		}
	}
	t.Logf("a page has %d KB, and the readers of 15 seconds hold %d KB", page>>10, most>>10)
	// Of a second there are two large pages, and two that are compressed to a tenth.
	if most > 5*uint64(page) {
		t.Errorf("slow readers hold %d KB, want at most five times a page, which has %d KB", most>>10, page>>10)
	}
}

// TestSlowReaderHasThreeSeconds has a slow reader of the first second, and a client in the
// next. A third one gets what the second got for as long as the first may go on reading.
func TestSlowReaderHasThreeSeconds(t *testing.T) {
	source := sampleMetered()
	source.report = manyPorts(5000)
	feed := &agent{}
	feed.answersWith(source.report, nil)
	for _, test := range []struct {
		name, request string
		handler       func(clock func() time.Time) http.Handler
		next          func(t *testing.T, address net.Addr)
	}{
		{"metrics", metricsRequests[0], func(clock func() time.Time) http.Handler {
			return NewMetricsHandler(sampleMetrics(source, true), clock)
		}, func(t *testing.T, address net.Addr) { slowReader(t, address, metricsRequests[0]) }},
		{"ports", portsRequest, func(clock func() time.Time) http.Handler {
			return NewHandler(feed, clock, quiet())
		}, func(t *testing.T, address net.Addr) { request(t, address.String(), portsRequest) }},
	} {
		for seconds, complete := range map[int64]bool{2: true, 3: false} {
			t.Run(fmt.Sprintf("%s after %d s", test.name, seconds), func(t *testing.T) {
				var second atomic.Int64
				clock := func() time.Time { return noon.Add(time.Duration(second.Load()) * time.Second) }
				listener := testListener(t, filepath.Join(t.TempDir(), "socket"))
				serveWithin(t, listener, test.handler(clock), generous) // only the clock ends a response
				first := dial(t, listener.Addr().String())
				send(t, first, test.request)
				response, err := http.ReadResponse(bufio.NewReader(first), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close() //nolint:errcheck // it is broken on purpose
				second.Store(1)
				test.next(t, listener.Addr())
				second.Store(1 + seconds)
				began := time.Now()
				request(t, listener.Addr().String(), test.request)
				if waited := time.Since(began); waited > generous.stall/2 {
					t.Errorf("the third client waited for %s", waited)
				}
				if size, err := io.Copy(io.Discard, response.Body); (err == nil) != complete {
					t.Errorf("the first client got %d bytes, %v", size, err)
				}
			})
		}
	}
}

const portsRequest = "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n"

// reports is a source whose reports are counted as long as they live.
type reports struct {
	agent
	made []weak.Pointer[accounting.Report]
}

func (r *reports) living() (number int) {
	runtime.GC()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, report := range r.made {
		if report.Value() != nil {
			number++
		}
	}
	return number
}

// TestSlowReadersHoldTwoReports is the same for the JSON of the ports.
func TestSlowReadersHoldTwoReports(t *testing.T) {
	source := new(reports)
	source.answers(func(context.Context) (*accounting.Report, error) {
		report := manyPorts(5000)
		source.mutex.Lock()
		defer source.mutex.Unlock()
		source.made = append(source.made, weak.Make(report))
		return report, nil
	})
	var second atomic.Int64
	clock := func() time.Time { return noon.Add(time.Duration(second.Load()) * time.Second) }
	listener := testListener(t, filepath.Join(t.TempDir(), "socket"))
	serveUntilEnd(t, listener, NewHandler(source, clock, quiet()))
	for range 15 {
		for range 4 {
			slowReader(t, listener.Addr(), portsRequest)
		}
		if living := source.living(); living > 2 {
			t.Fatalf("slow readers hold %d reports, want at most 2", living)
		}
		if answer := request(t, listener.Addr().String(), portsRequest); answer.code != http.StatusOK {
			t.Fatalf("a client that reads gets %d", answer.code)
		}
		second.Add(1)
	}
	if made := len(source.made); made < 4 {
		t.Errorf("%d reports were made in 15 seconds, want newer ones every 3", made)
	}
}

// TestReaderThatStopsIsDisconnected measures how long a handler is held by a client that
// takes nothing.
func TestReaderThatStopsIsDisconnected(t *testing.T) {
	bothKinds(t, func(t *testing.T, listener net.Listener) {
		held := make(chan time.Duration, 1)
		serveUntilEnd(t, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			began := time.Now()
			_, _ = w.Write(make([]byte, 32<<20))
			held <- time.Since(began)
		}))
		slowReader(t, listener.Addr(), metricsRequests[0])
		if took := <-held; took < 2500*time.Millisecond || took > servingLimits.response/2 {
			t.Errorf("disconnected after %s, want about 3s", took)
		}
	})
}

// TestReaderThatGoesOnGetsItAll reads slower than the response could be sent, for longer
// than a client may pause.
func TestReaderThatGoesOnGetsItAll(t *testing.T) {
	bothKinds(t, func(t *testing.T, listener net.Listener) {
		const size, steps = 8 << 20, 16
		limits := generous
		limits.stall = 2 * time.Second // a busy machine may pause the client as well
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- serve(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(make([]byte, size))
			}), quiet(), limits)
		}()
		connection, err := net.Dial(listener.Addr().Network(), listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close() //nolint:errcheck // it has been read
		send(t, connection, metricsRequests[0])
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // it has been read
		for step := range steps {
			time.Sleep(limits.stall / 10) // the client's slowness is what is tested
			if n, err := io.CopyN(io.Discard, response.Body, size/steps); err != nil {
				t.Fatalf("step %d: %d bytes, %v", step, n, err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

const usageRequest = "GET /v1/usage?by=day&top=20000 HTTP/1.1\r\nHost: x\r\n\r\n"

// largeUsage has reports of 3 MB, which no buffers hold.
func largeUsage() *usageSource {
	source := wideUsage()
	for range 5 {
		source.rows = append(source.rows, source.rows...)
	}
	for i := range source.rows {
		source.rows[i].Port, source.rows[i].Client = uint16(i+1), "client "+strconv.Itoa(i)
	}
	return source
}

func serveUsage(t *testing.T, source accounting.UsageSource) net.Addr {
	t.Helper()
	listener := testListener(t, filepath.Join(t.TempDir(), "socket"))
	mux := http.NewServeMux()
	mux.Handle("GET /v1/usage", NewUsageHandler(source, accounting.UsageLimits{}, clockAtNoon, quiet()))
	serveUntilEnd(t, listener, mux)
	return listener.Addr()
}

// TestReportOfUsageIsReadInThreeSeconds has a client that takes a bit again and again.
func TestReportOfUsageIsReadInThreeSeconds(t *testing.T) {
	connection := dial(t, serveUsage(t, largeUsage()).String())
	send(t, connection, usageRequest)
	began := time.Now()
	var err error
	for err == nil && time.Since(began) < 8*time.Second {
		time.Sleep(50 * time.Millisecond) // the client's slowness is what is tested
		_, err = io.CopyN(io.Discard, connection, 8<<10)
	}
	if took := time.Since(began); err == nil || took < 2*time.Second {
		t.Errorf("after %s: got %v, want the end of the connection after some 3s", took, err)
	}
}

// gatedUsage makes its reports when the gate is open.
type gatedUsage struct {
	*usageSource
	begun, gate chan struct{}
}

func (g *gatedUsage) Usage(ctx context.Context, query accounting.UsageQuery) (*accounting.Usage, error) {
	g.begun <- struct{}{}
	<-g.gate
	return g.usageSource.Usage(ctx, query)
}

// TestSlowReadersHoldTwoUsageReports has two clients that read nothing. Others wait until
// one of them is disconnected, and more than 16 together are not kept waiting.
func TestSlowReadersHoldTwoUsageReports(t *testing.T) {
	const others = 20
	source := &gatedUsage{largeUsage(), make(chan struct{}, 2+others), make(chan struct{})}
	address := serveUsage(t, source)
	for range 2 {
		send(t, dial(t, address.String()), usageRequest)
		<-source.begun
	}

	codes := make(chan int, others)
	for range others {
		connection := dial(t, address.String())
		send(t, connection, usageRequest)
		go func() {
			response, err := http.ReadResponse(bufio.NewReader(connection), nil)
			if err != nil {
				codes <- 0
				return
			}
			_ = response.Body.Close()
			codes <- response.StatusCode
		}()
	}
	for range 2 + others - maxUsageRequests {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("a client too many gets %d", code)
		}
	}
	began := time.Now()
	close(source.gate)
	if code := <-codes; code != http.StatusOK {
		t.Errorf("a client that waits gets %d", code)
	}
	if held := time.Since(began); held < 2500*time.Millisecond {
		t.Errorf("the first client was disconnected after %s, want some 3s", held)
	}
}
