package endtoend_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// TestScrapersDelayNoReading compares the intervals of an agent of 1,000 ports with
// those while 200 clients scrape it, half of which never take the response.
func TestScrapersDelayNoReading(t *testing.T) {
	const interval, clients = 200 * time.Millisecond, 200
	server := newServer(t)
	agent := server.startAgent(t, "--interval", interval.String(), "--port", "20000-20999")
	metrics := server.startMetrics(t, "127.0.0.1")
	server.waitListening(t, metricsPort, "tcp")
	agent.waitIntervals(t, 2)

	quiet := server.longestInterval(t, 3*time.Second)
	stop := make(chan struct{})
	var scraping sync.WaitGroup
	scraping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				server.scrapeAtOnce(t, clients)
			}
		}
	})
	busy := server.longestInterval(t, 6*time.Second)
	close(stop)
	scraping.Wait()
	t.Logf("the longest interval is %s, with %d scrapers %s", quiet, clients, busy)
	if limit := 3*quiet + time.Second; busy > limit {
		t.Errorf("with %d scrapers an interval took %s, want at most %s", clients, busy, limit)
	}
	metrics.mustRun(t)
	agent.mustRun(t)
	agent.stop(t)
}

// scrapeAtOnce connects that many clients, and closes all connections when those
// that read have read everything.
func (p product) scrapeAtOnce(t *testing.T, clients int) {
	var reading sync.WaitGroup
	for i := range clients {
		var connection net.Conn
		p.within(t, func(*os.File) (err error) {
			connection, err = net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", metricsPort), patience)
			return err
		})
		defer func() { _ = connection.Close() }()
		_, _ = io.WriteString(connection, "GET /metrics HTTP/1.0\r\n\r\n")
		if i%2 == 0 {
			reading.Go(func() {
				_ = connection.SetDeadline(time.Now().Add(2 * time.Second)) // those that do not read may have all places
				_, _ = io.Copy(io.Discard, connection)
			})
		}
	}
	reading.Wait()
}

// longestInterval watches the CSV file and returns the longest time between two
// writes.
func (p product) longestInterval(t *testing.T, duration time.Duration) (longest time.Duration) {
	t.Helper()
	var last time.Time
	for end := time.Now().Add(duration); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		info, err := os.Stat(p.csv)
		if err != nil {
			t.Fatal(err)
		}
		if at := info.ModTime(); !at.Equal(last) {
			if !last.IsZero() {
				longest = max(longest, at.Sub(last))
			}
			last = at
		}
	}
	return longest
}
