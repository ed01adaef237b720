package sockdiag

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The dumps in testdata are of Linux 6.18, with this sequence number: connections
// from 127.0.0.2, 127.0.0.3 and ::1 to port 20001 of [::], and their other ends.
const recordedSequence = 7

func recorded(tb testing.TB, name string) []byte {
	tb.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return dump
}

// mapped returns the bytes of ::ffff:a.b.c.d.
func mapped(a, b, c, d byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}

func TestVisitDump(t *testing.T) {
	loopback := [16]byte{15: 1}
	ipv4, ipv6 := recorded(t, "ipv4.dump"), recorded(t, "ipv6.dump")
	changed := func(dump []byte, at int, value ...byte) []byte {
		dump = slices.Clone(dump)
		copy(dump[at:], value)
		return dump
	}
	const payload = unix.SizeofNlMsghdr
	code := func(errno unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, -uint32(errno)) }
	end := len(ipv4) - 4 // of the errno in NLMSG_DONE
	clients := []socket{{mapped(127, 0, 0, 1), 0xca11}, {mapped(127, 0, 0, 1), 0xd63b}}
	for _, test := range []struct {
		name string
		dump []byte
		want []socket
		done bool
		err  error
	}{
		{"IPv4", ipv4, clients, true, nil},
		{"IPv6, with mapped addresses", ipv6, []socket{
			{loopback, 20001}, {loopback, 0x835b}, {mapped(127, 0, 0, 2), 20001}, {mapped(127, 0, 0, 3), 20001},
		}, true, nil},
		{"goes on in the next datagram", ipv4[:len(ipv4)-20], clients, false, nil},
		{"nothing", nil, nil, false, nil},
		{"of an earlier dump", changed(ipv4, 8, 6), clients[1:], true, nil},
		{"no longer established", changed(ipv4, payload+1, 6), clients[1:], true, nil},
		{"of another family", changed(ipv4, payload, unix.AF_UNIX), clients[1:], true, nil},
		{"of another type", changed(ipv4, 4, 99), clients[1:], true, nil},
		{"shorter than inet_diag_msg", slices.Concat(binary.NativeEndian.AppendUint32(nil, 20), ipv4[4:20], ipv4[124:]), clients[1:], true, nil},
		{"interrupted", changed(ipv4, 124+6, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR), clients[:1], false, ErrInterrupted},
		{"refused", changed(ipv4, end, code(unix.ENOENT)...), clients, true, unix.ENOENT},
		{"refused at once", changed(ipv4[end-16:], 4, unix.NLMSG_ERROR), nil, true, nil},
		{"cut in a header", ipv4[:124+10], clients[:1], false, ErrMalformed},
		{"cut in a message", ipv4[:200], clients[:1], false, ErrMalformed},
		{"length too small", changed(ipv4, 124, 15, 0, 0, 0), clients[:1], false, ErrMalformed},
		{"length too large", changed(ipv4, 124, 0xff, 0xff, 0xff, 0xff), clients[:1], false, ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []socket
			done, err := visitDump(test.dump, recordedSequence, tcpEstablished, func(s socket, _ []byte) { got = append(got, s) })
			if done != test.done || !errors.Is(err, test.err) {
				t.Errorf("got %t, %v, want %t, %v", done, err, test.done, test.err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(socket{})); diff != "" {
				t.Errorf("sockets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVisitDumpDoesNotAllocate(t *testing.T) {
	dump, visited := recorded(t, "ipv6.dump"), 0
	visit := func(socket, []byte) { visited++ }
	if allocs := testing.AllocsPerRun(100, func() { _, _ = visitDump(dump, recordedSequence, tcpEstablished, visit) }); allocs != 0 {
		t.Errorf("%v allocations per datagram, want 0", allocs)
	}
	if visited == 0 {
		t.Error("no socket was visited")
	}
}

// FuzzVisitDump decodes arbitrary bytes as an answer from the kernel: nothing may
// panic, and the walk must end.
func FuzzVisitDump(f *testing.F) {
	for _, name := range []string{"ipv4.dump", "ipv6.dump"} {
		f.Add(recorded(f, name), uint32(recordedSequence))
	}
	f.Fuzz(func(t *testing.T, datagram []byte, sequence uint32) {
		sockets := 0
		_, err := visitDump(datagram, sequence, tcpEstablished, func(socket, []byte) { sockets++ })
		if most := len(datagram) / (unix.SizeofNlMsghdr + socketLength); sockets > most {
			t.Errorf("%d sockets in %d bytes, want at most %d", sockets, len(datagram), most)
		}
		_ = err // anything but a panic
	})
}
