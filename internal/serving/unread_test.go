package serving_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
)

// TestKernelHoldsLittleForASlowReader counts what a client finds in the buffers of a
// connection on which it read nothing.
func TestKernelHoldsLittleForASlowReader(t *testing.T) {
	listener, written := servingtest.ListenTCP(t), make(chan int, 1)
	limits := servingtest.Generous
	limits.Stall = 300 * time.Millisecond
	servingtest.ServeWithin(t, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n, _ := w.Write(make([]byte, 32<<20))
		written <- n
	}), limits)
	servingtest.SlowReader(t, listener.Addr(), servingtest.AnyRequest)
	if taken := <-written; taken > 256<<10 {
		t.Errorf("the kernel took %d KB for a client that reads nothing", taken>>10)
	}
}

// TestKernelForgetsAResponseThatNobodyReads has a response that fits into the buffers of
// the kernel, so that the server has closed the connection long before.
func TestKernelForgetsAResponseThatNobodyReads(t *testing.T) {
	listener := servingtest.ListenTCP(t)
	servingtest.ServeUntilEnd(t, listener, page(64<<10))
	servingtest.SlowReader(t, listener.Addr(), servingtest.AnyRequest)
	testkit.Until(t, "the server closes the connection", func() bool { return connectionsIn(t, listener.Addr(), finWait1) == 1 })
	testkit.Until(t, "the kernel forgets the response", func() bool { return connectionsIn(t, listener.Addr(), finWait1) == 0 })
}

// TestKernelForgetsTheResponseOfALostPlace has one place, and a client that takes nothing.
func TestKernelForgetsTheResponseOfALostPlace(t *testing.T) {
	listener := servingtest.ListenTCP(t)
	limits := servingtest.Generous
	limits.Connections, limits.Patience = 1, 0
	servingtest.ServeWithin(t, listener, page(large), limits)
	servingtest.SlowReader(t, listener.Addr(), servingtest.AnyRequest)
	if _, err := servingtest.Fetch(listener.Addr(), 30*time.Second); err != nil {
		t.Error(err)
	}
	if left := connectionsIn(t, listener.Addr(), finWait1); left > 0 {
		t.Error("the kernel still offers the response to the client that lost its place")
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
