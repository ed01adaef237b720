package output

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// flood is how many connections an attacker opens: as many as a process may by default.
const flood = 1019

// served is a server of the metrics of some ports, on a listener of any kind.
func served(t *testing.T, ports int, listener net.Listener) net.Addr {
	t.Helper()
	source := sampleMetered()
	source.report = manyPorts(ports)
	handler := NewMetricsHandler(sampleMetrics(source, true), time.Now)
	serveUntilEnd(t, listener, handler)
	return listener.Addr()
}

// serveUntilEnd calls Serve until the test ends.
func serveUntilEnd(t *testing.T, listener net.Listener, handler http.Handler) {
	t.Helper()
	serveWithin(t, listener, handler, servingLimits)
}

// serveWithin is the same with other limits.
func serveWithin(t *testing.T, listener net.Listener, handler http.Handler, limits limits) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, handler, quiet(), limits) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v, want nil", err)
		}
	})
}

// bothKinds runs a test over TCP and over a unix socket.
func bothKinds(t *testing.T, run func(t *testing.T, listener net.Listener)) {
	t.Run("tcp", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		run(t, listener)
	})
	t.Run("unix", func(t *testing.T) { run(t, testListener(t, filepath.Join(t.TempDir(), "socket"))) })
}

// connectAll opens the connections of a flood, each of which sends something, or nothing.
func connectAll(t *testing.T, address net.Addr, text string) (all []net.Conn) {
	t.Helper()
	for range flood {
		connection, err := net.Dial(address.Network(), address.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		_, _ = io.WriteString(connection, text) // it may have lost its place
		all = append(all, connection)
	}
	return all
}

// scrapeWithin requests a page, by a new connection, in at most that time, and returns
// its size.
func scrapeWithin(address net.Addr, limit time.Duration) (size int64, err error) {
	began := time.Now()
	connection, err := net.DialTimeout(address.Network(), address.String(), limit)
	if err != nil {
		return 0, err
	}
	defer connection.Close() //nolint:errcheck // it has been read
	if err := connection.SetDeadline(began.Add(limit)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(connection, metricsRequests[0]); err != nil {
		return 0, err
	}
	size, err = readScrape(connection)
	if err != nil {
		err = fmt.Errorf("after %s: %w", time.Since(began), err)
	}
	return size, err
}

func readScrape(connection net.Conn) (size int64, err error) {
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return 0, err
	}
	size, err = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(response.Status))
	}
	return size, errors.Join(err, response.Body.Close())
}

// soon is when a scrape must be answered on a machine that does a lot besides. Alone it
// takes a second. Without the limiter it would be half a minute.
const soon = 10 * time.Second

// TestScrapeDespiteIdleConnections opens as many connections as a process may, that do
// not send a whole request, or do not read the response.
func TestScrapeDespiteIdleConnections(t *testing.T) {
	for _, test := range []struct{ name, text string }{
		{"silent", ""},
		{"half a header", "GET /metrics HTTP/1.1\r\nHost: x\r\nX: "},
		{"half a body", "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"},
		{"no reader", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bothKinds(t, func(t *testing.T, listener net.Listener) {
				page := make([]byte, 1<<20) // no buffers hold it
				serveUntilEnd(t, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) }))
				address := listener.Addr()
				connectAll(t, address, test.text)
				if _, err := scrapeWithin(address, soon); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestScrapeDespiteSlowRequests has clients that send a byte of a header again and again.
func TestScrapeDespiteSlowRequests(t *testing.T) {
	bothKinds(t, func(t *testing.T, listener net.Listener) {
		address := served(t, 10, listener)
		all := connectAll(t, address, "GET /metrics HTTP/1.1\r\nX: ")
		ctx, cancel := context.WithCancel(t.Context())
		var slow sync.WaitGroup
		slow.Go(func() {
			for ctx.Err() == nil {
				for _, connection := range all {
					_, _ = io.WriteString(connection, "x") // it may have lost its place
				}
			}
		})
		if _, err := scrapeWithin(address, soon); err != nil {
			t.Error(err)
		}
		cancel()
		slow.Wait()
	})
}

// TestScrapesDespiteReconnecting has clients that connect again whenever they lose their
// place.
func TestScrapesDespiteReconnecting(t *testing.T) {
	bothKinds(t, func(t *testing.T, listener net.Listener) {
		address := served(t, 10, listener)
		ctx, cancel := context.WithCancel(t.Context())
		var attackers sync.WaitGroup
		for range 300 {
			attackers.Go(func() {
				for ctx.Err() == nil {
					connection, err := net.Dial(address.Network(), address.String())
					if err != nil {
						continue
					}
					stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
					_, _ = connection.Read(make([]byte, 1)) // until it has lost its place
					stop()
					_ = connection.Close()
				}
			})
		}
		for range 10 {
			if _, err := scrapeWithin(address, soon); err != nil {
				t.Error(err)
			}
		}
		cancel()
		attackers.Wait()
	})
}

// TestBurstOfScrapers has as many clients that do send a request. On a busy machine a few
// lose their places between the arrival of the request and the start of the handler.
func TestBurstOfScrapers(t *testing.T) {
	bothKinds(t, func(t *testing.T, listener net.Listener) {
		address := served(t, 10, listener)
		var lost int
		for _, connection := range connectAll(t, address, metricsRequests[0]) {
			if err := connection.SetDeadline(time.Now().Add(soon)); err != nil {
				t.Fatal(err)
			}
			if _, err := readScrape(connection); err != nil {
				lost++
			}
		}
		if lost > flood/20 {
			t.Errorf("%d of %d clients got no response", lost, flood)
		}
	})
}

// TestPlacesOfABusyAgent has requests that the agent is working for. They keep their
// places, although new connections want them.
func TestPlacesOfABusyAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	release, begun := make(chan struct{}), make(chan struct{}, 2)
	limits := generous
	limits.connections, limits.patience = 2, 0
	listener := testListener(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			begun <- struct{}{}
			<-release
			w.WriteHeader(http.StatusNoContent)
		}), quiet(), limits)
	}()
	var busy []net.Conn
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"} {
		connection := dial(t, path)
		send(t, connection, text)
		<-begun
		busy = append(busy, connection)
	}
	waiting := dial(t, path)
	send(t, waiting, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := waiting.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := waiting.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("got %v, want the third client to wait", err)
	}
	if err := waiting.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	close(release)
	for _, connection := range append(busy, waiting) {
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _ = response.Body.Close(); response.StatusCode != http.StatusNoContent {
			t.Errorf("got %s", response.Status)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
