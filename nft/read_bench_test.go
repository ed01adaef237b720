package nft

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// BenchmarkReading compares a reading with the least that a reading can cost.
func BenchmarkReading(b *testing.B) {
	for _, ports := range []int{3, 1000, 10_000} {
		b.Run(compared("bare loop", ports), func(b *testing.B) {
			inNamespace(b)
			table := open(b, Options{})
			install(b, table, portList(ports))
			bare := newBareReader(b)
			var sample accounting.Sample
			ours := func() {
				if err := table.Read(&sample); err != nil || len(sample.Readings) != 4*ports {
					b.Fatalf("read %d counters: %v", len(sample.Readings), err)
				}
			}
			other := func() {
				if counters, err := bare.read(); err != nil || counters != 4*ports {
					b.Fatalf("the bare loop read %d counters: %v", counters, err)
				}
			}
			pin(b)
			compare(b, 5+2000/ports,
				func() time.Duration { return elapsed(ours) },
				func() time.Duration { return elapsed(other) })
			b.ReportMetric(testing.AllocsPerRun(5, ours), "allocations")
		})
	}
}

// bareReader requests the same dump and walks over its messages, without decoding
// or checking them.
type bareReader struct {
	fd              int
	request, buffer []byte
}

func newBareReader(b *testing.B) *bareReader {
	b.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	return &bareReader{fd, counterRequest(), make([]byte, 64<<10)}
}

// read returns the number of counters in the dump.
func (r *bareReader) read() (counters int, err error) {
	if _, err := unix.Write(r.fd, r.request); err != nil {
		return 0, err
	}
	for {
		n, err := unix.Read(r.fd, r.buffer)
		if err != nil {
			return counters, err
		}
		for at := 0; at < n; {
			switch kind := binary.NativeEndian.Uint16(r.buffer[at+4:]); kind {
			case unix.NLMSG_DONE:
				return counters, nil
			case unix.NLMSG_ERROR:
				return counters, fmt.Errorf("the dump ends with an error")
			}
			counters++
			length := int(binary.NativeEndian.Uint32(r.buffer[at:]))
			at += (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
		}
	}
}
