package sockdiag

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
	"ssmonitor/internal/testkit"
)

func portList(first, count int) []uint16 {
	ports := make([]uint16, count)
	for i := range ports {
		ports[i] = uint16(first + i)
	}
	return ports
}

func TestPortSet(t *testing.T) {
	for _, test := range []struct {
		name  string
		ports []uint16
	}{
		{"none", nil},
		{"one", portList(20000, 1)},
		{"the ends", []uint16{1, 65535}},
		{"in one word and in the next", portList(20030, 70)},
		{"every port", portList(1, 65535)},
	} {
		t.Run(test.name, func(t *testing.T) {
			var set portSet
			set.set(portList(100, 50)) // which the next one replaces
			set.set(test.ports)
			place := 0
			for number := range 1 << 16 {
				i, found := set.index(uint16(number))
				_, want := slices.BinarySearch(test.ports, uint16(number))
				if found != want || found && i != place {
					t.Fatalf("port %d: got %d, %t, want %d, %t", number, i, found, place, want)
				}
				if want {
					place++
				}
			}
		})
	}
}

// failing fails a number of times after the kernel has answered, if it is asked.
type failing struct {
	dumper
	left int
	err  error
}

func (f *failing) Visit(messageType uint16, request []byte, visit func(uint16, []byte)) error {
	if f.dumper != nil {
		if err := f.dumper.Visit(messageType, request, visit); err != nil {
			return err
		}
	}
	if f.left--; f.left < 0 {
		return nil
	}
	return f.err
}

func TestCountTriesAgain(t *testing.T) {
	testkit.NetworkNamespace(t)
	serve(t, "tcp4", "127.0.0.1:20000", false)
	connect(t, 3, "127.0.0.2", "127.0.0.1:20000")
	conn := open(t)
	ports, kernel := portList(20000, 2), conn.dumper
	for _, test := range []struct {
		name  string
		fails int
		err   error
		want  error
	}{
		{"interrupted once", 1, netlink.ErrInterrupted, nil},
		{"interrupted twice", 2, netlink.ErrInterrupted, nil},
		{"always interrupted", 100, netlink.ErrInterrupted, netlink.ErrInterrupted},
		{"no room in the socket", 2, unix.ENOBUFS, nil},
		{"never room in the socket", 100, unix.ENOBUFS, unix.ENOBUFS},
		{"malformed", 1, netlink.ErrMalformed, netlink.ErrMalformed},
	} {
		conn.dumper = &failing{dumper: kernel, left: test.fails, err: test.err}
		got, err := conn.Count(ports, nil)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if conn.dumper = kernel; err != nil {
			got = counts(t, conn, ports) // nothing of the failure is left
		}
		if err := difference([]accounting.Connections{known(3, 1), known(0, 0)}, got); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestNoDiagnosis has the error of a kernel without inet_diag.
func TestNoDiagnosis(t *testing.T) {
	conn := &Conn{dumper: &failing{left: 2, err: unix.ENOENT}}
	if _, err := conn.Count(portList(20000, 1), nil); !errors.Is(err, ErrUnsupported) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("counting: got %v, want ErrUnsupported", err)
	}
	if _, err := conn.Addresses(20000); !errors.Is(err, ErrUnsupported) {
		t.Errorf("addresses: got %v, want ErrUnsupported", err)
	}
}

func TestCountOfNoPortAsksNothing(t *testing.T) {
	conn := &Conn{}
	if got, err := conn.Count(nil, nil); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v, want nothing", got, err)
	}
}

func TestCountAllocatesNothingPerSocket(t *testing.T) {
	testkit.NetworkNamespace(t)
	serve(t, "tcp4", "127.0.0.1:20000", false)
	ports := portList(20000, 1000)
	conn := open(t)
	var counts []accounting.Connections
	allocs := make(map[int]float64)
	for _, established := range []int{0, 1000} {
		connect(t, established, "127.0.0.2", "127.0.0.1:20000")
		testkit.Eventually(t, 5*time.Second, func() (err error) {
			if counts, err = conn.Count(ports, counts); err == nil && int(counts[0].Established) != established {
				err = fmt.Errorf("%d connections, want %d", counts[0].Established, established)
			}
			return err
		})
		allocs[established] = testing.AllocsPerRun(20, func() { counts, _ = conn.Count(ports, counts) })
	}
	if allocs[1000] > allocs[0]+2 {
		t.Errorf("%v allocations for no connection, %v for 1,000", allocs[0], allocs[1000])
	}
}
