package compare_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	burstLength   = 16 // packets
	burstsInRound = 300
	roundTime     = 300 * time.Millisecond // no burst begins later
	leastBursts   = 3
)

// trafficPath is two connected UDP sockets on loopback, on the first two of the
// counted ports. Each packet passes both hooks and is counted at both.
type trafficPath struct {
	sender, receiver int
	counted          int // packets of the last round
}

func newTrafficPath(tb testing.TB) *trafficPath {
	tb.Helper()
	from := &unix.SockaddrInet4{Port: firstPort, Addr: [4]byte{127, 0, 0, 1}}
	to := &unix.SockaddrInet4{Port: firstPort + 1, Addr: [4]byte{127, 0, 0, 1}}
	path := &trafficPath{sender: boundSocket(tb, from), receiver: boundSocket(tb, to)}
	if err := unix.Connect(path.sender, to); err != nil {
		tb.Fatal(err)
	}
	return path
}

func boundSocket(tb testing.TB, address unix.Sockaddr) int {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, address); err != nil {
		tb.Fatal(err)
	}
	return fd
}

// round returns the nanoseconds that sending a packet takes: the 10th percentile
// of many bursts. The mean depends on whatever else the machine does, and the
// minimum on luck.
func (p *trafficPath) round(tb testing.TB) float64 {
	tb.Helper()
	defer pin(tb)()
	p.counted = 0
	var bursts []float64
	for began := time.Now(); len(bursts) < burstsInRound; {
		if len(bursts) >= leastBursts && time.Since(began) > roundTime {
			break
		}
		bursts = append(bursts, float64(p.burst(tb))/burstLength)
	}
	slices.Sort(bursts)
	return bursts[len(bursts)/10]
}

// burst measures the sending only: loopback delivers within the sender's call.
func (p *trafficPath) burst(tb testing.TB) time.Duration {
	tb.Helper()
	var payload [64]byte
	began := time.Now()
	for range burstLength {
		if _, err := unix.Write(p.sender, payload[:]); err != nil {
			tb.Fatal(err)
		}
	}
	duration := time.Since(began)
	for range burstLength {
		if _, err := unix.Read(p.receiver, payload[:]); err != nil {
			tb.Fatalf("a packet did not arrive: %v", err)
		}
	}
	p.counted += burstLength
	return duration
}

// pin keeps the calling thread, which the namespace has locked, on one processor
// until the returned function is called.
func pin(tb testing.TB) (unpin func()) {
	tb.Helper()
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		tb.Fatal(err)
	}
	for processor := range len(allowed) * 64 {
		if allowed.IsSet(processor) {
			one.Set(processor)
			break
		}
	}
	set := func(processors *unix.CPUSet) {
		if err := unix.SchedSetaffinity(0, processors); err != nil {
			tb.Fatal(err)
		}
	}
	set(&one)
	return func() { set(&allowed) }
}
