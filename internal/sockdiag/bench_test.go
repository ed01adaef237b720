package sockdiag

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// BenchmarkCount counts connections to four ports, among up to 10,000 that are
// asked for. Both ends are in the kernel's list, as for a proxy, which opens a
// connection for each one of a client. The metric cpu-ms/op is independent of what
// else the machine does.
func BenchmarkCount(b *testing.B) {
	const (
		ports      = 4
		perAddress = 5
	)
	for _, connections := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			testkit.NetworkNamespace(b)
			for i := range ports {
				// Nobody accepts the connections: an open file fewer for each.
				listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", 20000+i))
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = listener.Close() })
			}
			from := netip.MustParseAddr("127.1.0.1")
			for i := range connections / perAddress {
				connect(b, perAddress, from.String(), fmt.Sprintf("127.0.0.1:%d", 20000+i%ports))
				from = from.Next()
			}
			conn := open(b)
			for _, asked := range []int{1, ports, 10_000} {
				b.Run(fmt.Sprintf("ports=%d", asked), func(b *testing.B) {
					list := portList(20000, asked)
					var counts []accounting.Connections
					b.ReportAllocs()
					before := processorTime(b)
					for b.Loop() {
						var err error
						if counts, err = conn.Count(list, counts); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
					if got, want := counts[0], known(int32(connections/ports), int32(connections/ports/perAddress)); got != want {
						b.Errorf("got %+v, want %+v", got, want)
					}
				})
			}
		})
	}
}

// processorTime returns what the process has used in user space and in the kernel.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
