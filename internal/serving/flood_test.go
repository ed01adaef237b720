package serving_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ssmonitor/internal/testkit/servingtest"
)

// flood is how many connections an attacker opens: as many as a process may by default.
const flood = 1019

// large is the size of a page that no buffers hold; they do hold a small one.
const large, small = 1 << 20, 16 << 10

// page answers every request, once its body has arrived, with as many bytes.
func page(size int) http.HandlerFunc {
	content := make([]byte, size)
	return func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = w.Write(content)
	}
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

// soon is when a request must be answered on a machine that does a lot besides. Alone it
// takes a second. Without the limiter it would be half a minute.
const soon = 10 * time.Second

// TestRequestDespiteIdleConnections opens as many connections as a process may, that do
// not send a whole request, or do not read the response.
func TestRequestDespiteIdleConnections(t *testing.T) {
	for _, test := range []struct{ name, text string }{
		{"silent", ""},
		{"half a header", "GET / HTTP/1.1\r\nHost: x\r\nX: "},
		{"half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"},
		{"no reader", servingtest.AnyRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			servingtest.BothKinds(t, func(t *testing.T, listener net.Listener) {
				servingtest.ServeUntilEnd(t, listener, page(large))
				connectAll(t, listener.Addr(), test.text)
				if _, err := servingtest.Fetch(listener.Addr(), soon); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestRequestDespiteSlowRequests has clients that send a byte of a header again and again.
func TestRequestDespiteSlowRequests(t *testing.T) {
	servingtest.BothKinds(t, func(t *testing.T, listener net.Listener) {
		servingtest.ServeUntilEnd(t, listener, page(small))
		all := connectAll(t, listener.Addr(), "GET / HTTP/1.1\r\nX: ")
		ctx, cancel := context.WithCancel(t.Context())
		var slow sync.WaitGroup
		slow.Go(func() {
			for ctx.Err() == nil {
				for _, connection := range all {
					_, _ = io.WriteString(connection, "x") // it may have lost its place
				}
			}
		})
		if _, err := servingtest.Fetch(listener.Addr(), soon); err != nil {
			t.Error(err)
		}
		cancel()
		slow.Wait()
	})
}

// TestRequestsDespiteReconnecting has clients that connect again whenever they lose their
// place.
func TestRequestsDespiteReconnecting(t *testing.T) {
	servingtest.BothKinds(t, func(t *testing.T, listener net.Listener) {
		servingtest.ServeUntilEnd(t, listener, page(small))
		address := listener.Addr()
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
			if _, err := servingtest.Fetch(address, soon); err != nil {
				t.Error(err)
			}
		}
		cancel()
		attackers.Wait()
	})
}

// TestBurstOfRequests has as many clients that do send a request. On a busy machine a few
// lose their places between the arrival of the request and the start of the handler.
func TestBurstOfRequests(t *testing.T) {
	servingtest.BothKinds(t, func(t *testing.T, listener net.Listener) {
		servingtest.ServeUntilEnd(t, listener, page(small))
		var lost int
		for _, connection := range connectAll(t, listener.Addr(), servingtest.AnyRequest) {
			if err := connection.SetDeadline(time.Now().Add(soon)); err != nil {
				t.Fatal(err)
			}
			if _, err := servingtest.ReadPage(connection); err != nil {
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
	limits := servingtest.Generous
	limits.Connections, limits.Patience = 2, 0
	servingtest.Start(t, path, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		begun <- struct{}{}
		<-release
	}), limits)
	var clients []net.Conn
	connect := func(text string) net.Conn {
		connection := servingtest.Dial(t, path)
		servingtest.Send(t, connection, text)
		clients = append(clients, connection)
		return connection
	}
	for _, text := range []string{servingtest.AnyRequest, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"} {
		connect(text)
		<-begun
	}
	waiting := connect(servingtest.AnyRequest)
	if err := waiting.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := waiting.Read(make([]byte, 1)); !servingtest.IsTimeout(err) {
		t.Errorf("got %v, want the third client to wait", err)
	}
	if err := waiting.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	close(release)
	for _, connection := range clients {
		if _, err := servingtest.ReadPage(connection); err != nil {
			t.Error(err)
		}
	}
}
