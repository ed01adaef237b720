package output

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// agent is a Source whose results the test sets.
type agent struct {
	mutex  sync.Mutex
	answer func(ctx context.Context) (*accounting.Report, error)
	health Health
	asked  atomic.Int64
}

func (a *agent) Report(ctx context.Context) (*accounting.Report, error) {
	a.asked.Add(1)
	a.mutex.Lock()
	answer := a.answer
	a.mutex.Unlock()
	return answer(ctx)
}

func (a *agent) Health() Health { return a.health }

func (a *agent) answers(answer func(ctx context.Context) (*accounting.Report, error)) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.answer = answer
}

func (a *agent) answersWith(report *accounting.Report, err error) {
	a.answers(func(context.Context) (*accounting.Report, error) { return report, err })
}

// start serves the source on a socket until the test ends or stop is called.
func start(t *testing.T, path string, source Source, limits limits) (stop func()) {
	t.Helper()
	listener := testListener(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, NewHandler(source, clockAtNoon, quiet()), quiet(), limits) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func clockAtNoon() time.Time { return noon }

var generous = limits{
	request: 10 * time.Second, response: 10 * time.Second, shutdown: 10 * time.Second,
	stall: 10 * time.Second, patience: 10 * time.Second, connections: 64,
}

func TestHealth(t *testing.T) {
	for name, c := range map[string]struct {
		health Health
		code   int
		body   string
	}{
		"just read": {
			Health{LastRead: noon.Add(-2 * time.Second), Interval: 2 * time.Second},
			http.StatusOK, `{"status":"ok","last_read":"2026-11-22T11:59:58.123456789Z"}`,
		},
		"a long interval": {
			Health{LastRead: noon.Add(-59 * time.Second), Interval: 20 * time.Second},
			http.StatusOK, `{"status":"ok","last_read":"2026-11-22T11:59:01.123456789Z"}`,
		},
		"stale": {
			Health{LastRead: noon.Add(-11 * time.Second), Interval: 2 * time.Second},
			http.StatusServiceUnavailable,
			`{"status":"failing","reason":"the last reading of the counters is 11s old, want at most 10s","last_read":"2026-11-22T11:59:49.123456789Z"}`,
		},
		"failed": {
			Health{LastRead: noon, Interval: time.Second, Err: accounting.ErrNoTable},
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
			start(t, path, &agent{health: c.health}, generous)
			answer := request(t, path, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			if answer.code != c.code || answer.body != c.body || answer.kind != "application/json" {
				t.Errorf("%+v\nwant\n%d %s", answer, c.code, c.body)
			}
		})
	}
}

func TestServerRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.answersWith(sampleReport(), nil)
	start(t, path, feed, generous)
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
			answer := request(t, path, c.request)
			if answer.code != c.code {
				t.Errorf("%+v, want %d", answer, c.code)
			}
		})
	}
	t.Run("endless headers", func(t *testing.T) {
		connection := dial(t, path)
		send(t, connection, "GET /v1/ports HTTP/1.1\r\nHost: x\r\nX: ")
		var err error
		for sent := 0; err == nil; sent += 1 << 10 {
			if sent > 1<<20 {
				t.Fatal("a megabyte of them was taken")
			}
			_, err = connection.Write(make([]byte, 1<<10))
		}
	})
	if asked := feed.asked.Load(); asked != 0 {
		t.Errorf("the counters were read %d times for that", asked)
	}
}

func TestServerGivesUpOnSlowClients(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.answersWith(manyPorts(20000), nil) // More than a socket's buffers hold.

	t.Run("one that never ends its request", func(t *testing.T) {
		limits := generous
		limits.request = 50 * time.Millisecond
		defer start(t, path, feed, limits)()
		connection := dial(t, path)
		send(t, connection, "GET /v1/ports HTTP/1.1\r\nHost:")
		// Whatever is answered: the server closes the connection.
		if _, err := io.Copy(io.Discard, connection); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
	t.Run("one that never takes its answer", func(t *testing.T) {
		limits := generous
		limits.response = time.Second // in which the answer begins on a busy machine too
		defer start(t, path, feed, limits)()
		connection := dial(t, path)
		send(t, connection, "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n")
		awaitHangUp(t, connection)
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close() //nolint:errcheck // It is broken on purpose.
		if _, err := ReadJSON(answer.Body); err == nil {
			t.Error("the whole answer came, want the server to give up")
		}
	})
}

// TestOldestSilentClientLosesItsPlace has three clients and two places.
func TestOldestSilentClientLosesItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.answersWith(sampleReport(), nil)
	limits := generous
	limits.connections, limits.patience = 2, 0
	start(t, path, feed, limits)
	first, second := dial(t, path), dial(t, path)
	const get = "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n"
	if answer := request(t, path, get); answer.code != http.StatusOK {
		t.Errorf("the third client got %+v", answer)
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the first client got %v, want the end of the connection", err)
	}
	send(t, second, get)
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
	if want := (limits{
		request: 2 * time.Second, response: 30 * time.Second, shutdown: 2 * time.Second,
		stall: 3 * time.Second, patience: 50 * time.Millisecond, connections: 128,
	}); servingLimits != want {
		t.Errorf("got %+v, want %+v", servingLimits, want)
	}
	path := filepath.Join(t.TempDir(), "socket")
	listener := testListener(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, http.NotFoundHandler(), quiet()) }()
	began := time.Now()
	connection := dial(t, path)
	// The client sends nothing, and the server hangs up.
	if _, err := connection.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) < time.Second {
		t.Errorf("after %s: got %v, want the end of the connection after 2s", time.Since(began), err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestServerKeepsNoConnection sends two requests at once: only one is answered.
func TestServerKeepsNoConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.answersWith(sampleReport(), nil)
	start(t, path, feed, generous)
	connection := dial(t, path)
	const get = "GET /v1/ports HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
	send(t, connection, get+get)
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
	feed.answers(func(ctx context.Context) (*accounting.Report, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return sampleReport(), nil
	})
	start(t, path, feed, generous)
	request(t, path, "GET /v1/ports HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := <-left; got <= 0 || got > 5*time.Second {
		t.Errorf("a reading may take %s, want at most 5s", got)
	}
}

// TestAnswersAreNotCached looks at the header of each path.
func TestAnswersAreNotCached(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.answersWith(sampleReport(), nil)
	start(t, path, feed, generous)
	for _, target := range []string{"/v1/ports", "/healthz"} {
		connection := dial(t, path)
		send(t, connection, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
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
	listener := testListener(t, filepath.Join(t.TempDir(), "socket"))
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), listener, http.NotFoundHandler(), quiet()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the error is %v, want net.ErrClosed", err)
	}
}

// answered is what came back: the status, the type and the text.
type answered struct {
	code       int
	kind, body string
}

// request sends raw text and returns the answer.
func request(t *testing.T, path, text string) answered {
	t.Helper()
	connection := dial(t, path)
	send(t, connection, text)
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answered{answer.StatusCode, answer.Header.Get("Content-Type"), strings.TrimSpace(string(content))}
}

// dial connects for the length of the test, and for 10 seconds at most.
func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	connection, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return connection
}

// awaitHangUp waits until the server has closed the connection, and reads nothing.
func awaitHangUp(t *testing.T, connection net.Conn) {
	t.Helper()
	onSocket(connection, func(fd int) {
		watched := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(watched, int((10 * time.Second).Milliseconds()))
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Poll(watched, int((10 * time.Second).Milliseconds()))
		}
		if n != 1 || err != nil {
			t.Errorf("the server does not hang up: %v", err)
		}
	})
}

func send(t *testing.T, connection net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
}

func isTimeout(err error) bool {
	var failed net.Error
	return errors.As(err, &failed) && failed.Timeout()
}
