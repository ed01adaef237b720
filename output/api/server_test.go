package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

// agent is a source whose results the test sets.
type agent struct {
	sample.Source
	health Health
}

func (a *agent) Health() Health { return a.health }

// start serves the source on a socket until the test ends or stop is called.
func start(t *testing.T, path string, source Readings, limits serving.Limits) (stop func()) {
	t.Helper()
	return servingtest.Start(t, path, NewHandler(source, sample.AtNoon, testkit.Quiet()), limits)
}

func TestHealth(t *testing.T) {
	for name, c := range map[string]struct {
		health Health
		code   int
		body   string
	}{
		"just read": {
			Health{LastRead: sample.Noon.Add(-2 * time.Second), Interval: 2 * time.Second},
			http.StatusOK, `{"status":"ok","last_read":"2026-11-22T11:59:58.123456789Z"}`,
		},
		"a long interval": {
			Health{LastRead: sample.Noon.Add(-59 * time.Second), Interval: 20 * time.Second},
			http.StatusOK, `{"status":"ok","last_read":"2026-11-22T11:59:01.123456789Z"}`,
		},
		"stale": {
			Health{LastRead: sample.Noon.Add(-11 * time.Second), Interval: 2 * time.Second},
			http.StatusServiceUnavailable,
			`{"status":"failing","reason":"the last reading of the counters is 11s old, want at most 10s","last_read":"2026-11-22T11:59:49.123456789Z"}`,
		},
		"failed": {
			Health{LastRead: sample.Noon, Interval: time.Second, Err: accounting.ErrNoTable},
			http.StatusServiceUnavailable,
			`{"status":"failing","reason":"the last reading of the counters failed: the table ssmonitor does not exist","last_read":"2026-11-22T12:00:00.123456789Z"}`,
		},
		"not read yet": {
			Health{Interval: time.Second},
			http.StatusServiceUnavailable, `{"status":"failing","reason":"the counters have not been read yet"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "socket")
			start(t, path, &agent{health: c.health}, servingtest.Generous)
			answer := servingtest.Request(t, path, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			if answer.Code != c.code || answer.Body != c.body || answer.Type != "application/json" {
				t.Errorf("%+v\nwant\n%d %s", answer, c.code, c.body)
			}
		})
	}
}

func TestServerRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.AnswersWith(sample.Report(), nil)
	start(t, path, feed, servingtest.Generous)
	for name, c := range map[string]struct {
		request string
		code    int
	}{
		"a POST":           {"POST /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", http.StatusMethodNotAllowed},
		"a DELETE":         {"DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusMethodNotAllowed},
		"another path":     {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusNotFound},
		"what is not HTTP": {"give me the ports\r\n\r\n", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			answer := servingtest.Request(t, path, c.request)
			if answer.Code != c.code {
				t.Errorf("%+v, want %d", answer, c.code)
			}
		})
	}
	t.Run("endless headers", func(t *testing.T) {
		connection := servingtest.Dial(t, path)
		servingtest.Send(t, connection, "GET /v1/ports HTTP/1.1\r\nHost: x\r\nX: ")
		var err error
		for sent := 0; err == nil; sent += 1 << 10 {
			if sent > 1<<20 {
				t.Fatal("a megabyte of them was taken")
			}
			_, err = connection.Write(make([]byte, 1<<10))
		}
	})
	if asked := feed.Asked.Load(); asked != 0 {
		t.Errorf("the counters were read %d times for that", asked)
	}
}

func TestServerGivesUpOnSlowClients(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.AnswersWith(sample.ManyPorts(20000), nil) // More than a socket's buffers hold.

	t.Run("one that never ends its request", func(t *testing.T) {
		limits := servingtest.Generous
		limits.Request = 50 * time.Millisecond
		defer start(t, path, feed, limits)()
		connection := servingtest.Dial(t, path)
		servingtest.Send(t, connection, "GET /v1/ports HTTP/1.1\r\nHost:")
		// Whatever is answered: the server closes the connection.
		if _, err := io.Copy(io.Discard, connection); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
	t.Run("one that never takes its answer", func(t *testing.T) {
		limits := servingtest.Generous
		limits.Response = time.Second // in which the answer begins on a busy machine too
		defer start(t, path, feed, limits)()
		connection := servingtest.Dial(t, path)
		servingtest.Send(t, connection, "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n")
		servingtest.AwaitHangUp(t, connection)
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close() //nolint:errcheck // It is broken on purpose.
		if _, err := ReadReport(answer.Body); err == nil {
			t.Error("the whole answer came, want the server to give up")
		}
	})
}

// TestOldestSilentClientLosesItsPlace has three clients and two places.
func TestOldestSilentClientLosesItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.AnswersWith(sample.Report(), nil)
	limits := servingtest.Generous
	limits.Connections, limits.Patience = 2, 0
	start(t, path, feed, limits)
	first, second := servingtest.Dial(t, path), servingtest.Dial(t, path)
	const get = "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n"
	if answer := servingtest.Request(t, path, get); answer.Code != http.StatusOK {
		t.Errorf("the third client got %+v", answer)
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the first client got %v, want the end of the connection", err)
	}
	servingtest.Send(t, second, get)
	response, err := http.ReadResponse(bufio.NewReader(second), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _ = response.Body.Close(); response.StatusCode != http.StatusOK {
		t.Errorf("the second client got %s", response.Status)
	}
}

// TestServingLimits compares the limits with those that Serve documents, and has
// a client wait for the shortest one.
func TestServingLimits(t *testing.T) {
	if want := (serving.Limits{
		Request: 2 * time.Second, Response: 30 * time.Second, Shutdown: 2 * time.Second,
		Stall: 3 * time.Second, Patience: 50 * time.Millisecond, Connections: 128,
	}); serving.DefaultLimits() != want {
		t.Errorf("got %+v, want %+v", serving.DefaultLimits(), want)
	}
	path := filepath.Join(t.TempDir(), "socket")
	listener := servingtest.Listen(t, path)
	servingtest.ServeUntilEnd(t, listener, http.NotFoundHandler())
	began := time.Now()
	connection := servingtest.Dial(t, path)
	// The client sends nothing, and the server hangs up.
	if _, err := connection.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) < time.Second {
		t.Errorf("after %s: got %v, want the end of the connection after 2s", time.Since(began), err)
	}
}

// TestServerKeepsNoConnection sends two requests at once: only one is answered.
func TestServerKeepsNoConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.AnswersWith(sample.Report(), nil)
	start(t, path, feed, servingtest.Generous)
	connection := servingtest.Dial(t, path)
	const get = "GET /v1/ports HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
	servingtest.Send(t, connection, get+get)
	everything, err := io.ReadAll(connection)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	if answers := strings.Count(string(everything), "HTTP/1.1 200 OK"); answers != 1 || !strings.Contains(string(everything), "Connection: close") {
		t.Errorf("got %d answers, want one that ends the connection", answers)
	}
}

// TestReadingIsBounded looks at how long a source may take for a request.
func TestReadingIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	left := make(chan time.Duration, 1)
	feed.Answers(func(ctx context.Context) (*accounting.Report, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return sample.Report(), nil
	})
	start(t, path, feed, servingtest.Generous)
	servingtest.Request(t, path, "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := <-left; got <= 0 || got > 5*time.Second {
		t.Errorf("a reading may take %s, want at most 5s", got)
	}
}

// TestAnswersAreNotCached looks at the header of each path.
func TestAnswersAreNotCached(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.AnswersWith(sample.Report(), nil)
	start(t, path, feed, servingtest.Generous)
	for _, target := range []string{"/v1/ports", "/healthz"} {
		connection := servingtest.Dial(t, path)
		servingtest.Send(t, connection, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if got := answer.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control is %q", target, got)
		}
	}
}

func TestServerSaysThatItsListenerFailed(t *testing.T) {
	listener := servingtest.Listen(t, filepath.Join(t.TempDir(), "socket"))
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (serving.Server{Handler: http.NotFoundHandler(), Log: testkit.Quiet()}).Serve(t.Context(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the error is %v, want net.ErrClosed", err)
	}
}
