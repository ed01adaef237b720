package prometheus

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

// TestKernelHoldsLittleForASlowReader counts what a client finds in the buffers of a
// connection on which it read nothing.
func TestKernelHoldsLittleForASlowReader(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan int, 1)
	limits := servingtest.Generous
	limits.Stall = 300 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serving.ServeWithin(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n, _ := w.Write(make([]byte, 32<<20))
			written <- n
		}), testkit.Quiet(), limits)
	}()
	servingtest.SlowReader(t, listener.Addr(), servingtest.AnyRequest)
	if taken := <-written; taken > 256<<10 {
		t.Errorf("the kernel took %d KB for a client that reads nothing", taken>>10)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestKernelForgetsAResponseThatNobodyReads has a response that fits into the buffers of
// the kernel, so that the server has closed the connection long before.
func TestKernelForgetsAResponseThatNobodyReads(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	servingtest.ServeUntilEnd(t, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 64<<10))
	}))
	servingtest.SlowReader(t, listener.Addr(), servingtest.AnyRequest)
	testkit.Until(t, "the server closes the connection", func() bool { return connectionsIn(t, listener.Addr(), finWait1) == 1 })
	testkit.Until(t, "the kernel forgets the response", func() bool { return connectionsIn(t, listener.Addr(), finWait1) == 0 })
}

// TestKernelForgetsTheResponseOfALostPlace has one place, and a client that takes nothing.
func TestKernelForgetsTheResponseOfALostPlace(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	source := sampleMetered()
	source.report = sample.ManyPorts(5000)
	limits := servingtest.Generous
	limits.Connections, limits.Patience = 1, 0
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serving.ServeWithin(ctx, listener, NewHandler(sampleMetrics(source, true), time.Now), testkit.Quiet(), limits)
	}()
	servingtest.SlowReader(t, listener.Addr(), servingtest.AnyRequest)
	if _, err := scrapeWithin(listener.Addr(), 30*time.Second); err != nil {
		t.Error(err)
	}
	if left := connectionsIn(t, listener.Addr(), finWait1); left > 0 {
		t.Error("the kernel still offers the response to the client that lost its place")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// finWait1 is TCP_FIN_WAIT1 of include/net/tcp_states.h: closed, with something unsent.
const finWait1 = "04"

// connectionsIn counts the connections to the listener at an address of IPv4 that are in a
// state, by proc_net_tcp of the kernel's documentation.
func connectionsIn(t *testing.T, address net.Addr, state string) (number int) {
	t.Helper()
	content, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprintf(":%04X", address.(*net.TCPAddr).Port)
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); strings.HasSuffix(fields[1], port) && fields[3] == state {
			number++
		}
	}
	return number
}
