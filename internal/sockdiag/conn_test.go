package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
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

// TestCountTriesAgain makes dumps fail that the kernel answers.
func TestCountTriesAgain(t *testing.T) {
	interrupt := func(datagram []byte) error {
		flags := binary.NativeEndian.Uint16(datagram[6:])
		binary.NativeEndian.PutUint16(datagram[6:], flags|unix.NLM_F_DUMP_INTR)
		return nil
	}
	overrun := func([]byte) error { return unix.ENOBUFS }
	garble := func(datagram []byte) error {
		datagram[0], datagram[1] = 1, 0
		return nil
	}
	for _, test := range []struct {
		name   string
		change func([]byte) error
		fails  int // so many datagrams
		want   error
	}{
		{"interrupted once", interrupt, 1, nil},
		{"interrupted twice", interrupt, 2, nil},
		{"always interrupted", interrupt, 100, ErrInterrupted},
		{"no room in the socket", overrun, 2, nil},
		{"never room in the socket", overrun, 100, unix.ENOBUFS},
		{"malformed", garble, 1, ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			testkit.NetworkNamespace(t)
			serve(t, "tcp4", "127.0.0.1:20000", false)
			connect(t, 300, "127.0.0.2", "127.0.0.1:20000") // more than one datagram
			conn := open(t)
			left := test.fails
			conn.onReceive = func(datagram []byte) error {
				if left--; left < 0 {
					return nil
				}
				return test.change(datagram)
			}
			ports := portList(20000, 2)
			got, err := conn.Count(ports, nil)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			conn.onReceive = nil
			if err != nil {
				got = counts(t, conn, ports) // nothing of the failure is left
			}
			if err := difference([]accounting.Connections{known(300, 1), known(0, 0)}, got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoDiagnosis asks for a family for which no kernel lists sockets, with the
// error of a kernel without inet_diag.
func TestNoDiagnosis(t *testing.T) {
	conn := open(t)
	conn.families = []uint8{unix.AF_APPLETALK}
	if _, err := conn.Count(portList(20000, 1), nil); !errors.Is(err, ErrUnsupported) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("counting: got %v, want ErrUnsupported", err)
	}
	if _, err := conn.Addresses(20000); !errors.Is(err, ErrUnsupported) {
		t.Errorf("addresses: got %v, want ErrUnsupported", err)
	}
}

func TestCountOfNoPortAsksNothing(t *testing.T) {
	conn := open(t)
	conn.families = []uint8{unix.AF_APPLETALK} // would fail
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
