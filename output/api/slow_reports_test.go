package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

const portsRequest = "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n"

// reports is a source whose reports are counted as long as they live.
type reports struct {
	agent
	made []weak.Pointer[accounting.Report]
}

func (r *reports) living() (number int) {
	runtime.GC()
	r.Mutex.Lock()
	defer r.Mutex.Unlock()
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
	source.Answers(func(context.Context) (*accounting.Report, error) {
		report := sample.ManyPorts(5000)
		source.Mutex.Lock()
		defer source.Mutex.Unlock()
		source.made = append(source.made, weak.Make(report))
		return report, nil
	})
	var second atomic.Int64
	clock := func() time.Time { return sample.Noon.Add(time.Duration(second.Load()) * time.Second) }
	listener := servingtest.Listen(t, filepath.Join(t.TempDir(), "socket"))
	servingtest.ServeUntilEnd(t, listener, NewHandler(source, clock, testkit.Quiet()))
	for range 15 {
		for range 4 {
			servingtest.SlowReader(t, listener.Addr(), portsRequest)
		}
		if living := source.living(); living > 2 {
			t.Fatalf("slow readers hold %d reports, want at most 2", living)
		}
		if answer := servingtest.Request(t, listener.Addr().String(), portsRequest); answer.Code != http.StatusOK {
			t.Fatalf("a client that reads gets %d", answer.Code)
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
	servingtest.BothKinds(t, func(t *testing.T, listener net.Listener) {
		held := make(chan time.Duration, 1)
		servingtest.ServeUntilEnd(t, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			began := time.Now()
			_, _ = w.Write(make([]byte, 32<<20))
			held <- time.Since(began)
		}))
		servingtest.SlowReader(t, listener.Addr(), servingtest.AnyRequest)
		if took := <-held; took < 2500*time.Millisecond || took > serving.DefaultLimits().Response/2 {
			t.Errorf("disconnected after %s, want about 3s", took)
		}
	})
}

// TestReaderThatGoesOnGetsItAll reads slower than the response could be sent, for longer
// than a client may pause.
func TestReaderThatGoesOnGetsItAll(t *testing.T) {
	servingtest.BothKinds(t, func(t *testing.T, listener net.Listener) {
		const size, steps = 8 << 20, 16
		limits := servingtest.Generous
		limits.Stall = 2 * time.Second // a busy machine may pause the client as well
		servingtest.ServeWithin(t, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, size))
		}), limits)
		connection, err := net.Dial(listener.Addr().Network(), listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close() //nolint:errcheck // it has been read
		servingtest.Send(t, connection, servingtest.AnyRequest)
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // it has been read
		for step := range steps {
			time.Sleep(limits.Stall / 10) // the client's slowness is what is tested
			if n, err := io.CopyN(io.Discard, response.Body, size/steps); err != nil {
				t.Fatalf("step %d: %d bytes, %v", step, n, err)
			}
		}
	})
}

const usageRequest = "GET /v1/usage?by=day&top=20000 HTTP/1.1\r\nHost: x\r\n\r\n"

// largeUsage has reports of 3 MB, which no buffers hold.
func largeUsage() *sample.Usage {
	source := sample.WideUsage()
	for range 5 {
		source.Rows = append(source.Rows, source.Rows...)
	}
	for i := range source.Rows {
		source.Rows[i].Port, source.Rows[i].Client = uint16(i+1), "client "+strconv.Itoa(i)
	}
	return source
}

func serveUsage(t *testing.T, source usage.History) net.Addr {
	t.Helper()
	listener := servingtest.Listen(t, filepath.Join(t.TempDir(), "socket"))
	mux := http.NewServeMux()
	mux.Handle("GET /v1/usage", NewUsageHandler(source, func() usage.Limits { return usage.Limits{} }, sample.AtNoon, testkit.Quiet()))
	servingtest.ServeUntilEnd(t, listener, mux)
	return listener.Addr()
}

// TestReportOfUsageIsReadInThreeSeconds has a client that takes a bit again and again.
func TestReportOfUsageIsReadInThreeSeconds(t *testing.T) {
	connection := servingtest.Dial(t, serveUsage(t, largeUsage()).String())
	servingtest.Send(t, connection, usageRequest)
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
	usage.History
	begun, gate chan struct{}
}

func (g *gatedUsage) View(ctx context.Context, read func(usage.Snapshot) error) error {
	g.begun <- struct{}{}
	<-g.gate
	return g.History.View(ctx, read)
}

// TestSlowReadersHoldTwoUsageReports has two clients that read nothing. Others wait until
// one of them is disconnected, and more than 16 together are not kept waiting.
func TestSlowReadersHoldTwoUsageReports(t *testing.T) {
	const others = 20
	source := &gatedUsage{largeUsage(), make(chan struct{}, 2+others), make(chan struct{})}
	address := serveUsage(t, source)
	for range 2 {
		servingtest.Send(t, servingtest.Dial(t, address.String()), usageRequest)
		<-source.begun
	}

	codes := make(chan int, others)
	for range others {
		connection := servingtest.Dial(t, address.String())
		servingtest.Send(t, connection, usageRequest)
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
