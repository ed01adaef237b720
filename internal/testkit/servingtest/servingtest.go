// Package servingtest has what tests of servers share: listeners, clients that are slow
// or send raw text, and limits that leave time.
package servingtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"

	"golang.org/x/sys/unix"
)

// Listen listens for the test, as a group that does not exist unless one
// is named.
func Listen(t *testing.T, path string) net.Listener {
	t.Helper()
	listener, err := serving.ListenSocket(path, "no-such-group-here", testkit.Quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// ListenTCP listens on a free port of loopback.
func ListenTCP(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// Run serves on a listener until the test ends or stop is called.
func Run(t *testing.T, listener net.Listener, server serving.Server) (stop func()) {
	t.Helper()
	server.Log = testkit.Quiet()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v, want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// ServeWithin is Run with a handler and limits.
func ServeWithin(t *testing.T, listener net.Listener, handler http.Handler, limits serving.Limits) (stop func()) {
	t.Helper()
	return Run(t, listener, serving.Server{Handler: handler, Limits: limits})
}

// ServeUntilEnd is ServeWithin the default limits.
func ServeUntilEnd(t *testing.T, listener net.Listener, handler http.Handler) {
	t.Helper()
	ServeWithin(t, listener, handler, serving.DefaultLimits())
}

// Start runs ServeWithin on a socket.
func Start(t *testing.T, path string, handler http.Handler, limits serving.Limits) (stop func()) {
	t.Helper()
	return ServeWithin(t, Listen(t, path), handler, limits)
}

// Generous leaves a test all the time that it may need.
var Generous = serving.Limits{
	Request: 10 * time.Second, Response: 10 * time.Second, Shutdown: 10 * time.Second,
	Stall: 10 * time.Second, Patience: 10 * time.Second, Connections: 64,
}

// Answer is what came back: the status, the type, the methods that are allowed and the
// text.
type Answer struct {
	Code              int
	Type, Allow, Body string
}

// Request sends raw text and returns the answer.
func Request(t *testing.T, path, text string) Answer {
	t.Helper()
	connection := Dial(t, path)
	Send(t, connection, text)
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return Answer{answer.StatusCode, answer.Header.Get("Content-Type"), answer.Header.Get("Allow"), strings.TrimSpace(string(content))}
}

// Dial connects for the length of the test, and for 10 seconds at most.
func Dial(t *testing.T, path string) net.Conn {
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

// Send sends text.
func Send(t *testing.T, connection net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
}

// IsTimeout reports whether an error is a deadline that has passed.
func IsTimeout(err error) bool {
	var failed net.Error
	return errors.As(err, &failed) && failed.Timeout()
}

// SlowReader requests a page, waits until the response begins, and takes no more of it
// than its small buffer holds.
func SlowReader(t *testing.T, address net.Addr, request string) {
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
	Send(t, connection, request)
	if _, err := connection.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// Heap returns the memory that is in use after a collection.
func Heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapAlloc
}

// AnyRequest is a whole request.
const AnyRequest = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

// Fetch requests a page, by a new connection, in at most that time, and returns its size.
func Fetch(address net.Addr, limit time.Duration) (size int64, err error) {
	began := time.Now()
	connection, err := net.DialTimeout(address.Network(), address.String(), limit)
	if err != nil {
		return 0, err
	}
	defer connection.Close() //nolint:errcheck // it has been read
	if err := connection.SetDeadline(began.Add(limit)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(connection, AnyRequest); err != nil {
		return 0, err
	}
	size, err = ReadPage(connection)
	if err != nil {
		err = fmt.Errorf("after %s: %w", time.Since(began), err)
	}
	return size, err
}

// ReadPage reads a response of status 200 and returns the size of its body.
func ReadPage(connection net.Conn) (size int64, err error) {
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

// BothKinds runs a test over TCP and over a unix socket.
func BothKinds(t *testing.T, run func(t *testing.T, listener net.Listener)) {
	t.Run("tcp", func(t *testing.T) { run(t, ListenTCP(t)) })
	t.Run("unix", func(t *testing.T) { run(t, Listen(t, filepath.Join(t.TempDir(), "socket"))) })
}

// AwaitHangUp waits until the server has closed the connection, and reads nothing.
func AwaitHangUp(t *testing.T, connection net.Conn) {
	t.Helper()
	raw, err := connection.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
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
