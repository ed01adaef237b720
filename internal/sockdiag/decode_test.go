package sockdiag

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// recorded returns a dump of Linux 6.18: connections from 127.0.0.2, 127.0.0.3 and ::1
// to port 20001 of [::], and their other ends.
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

func TestDecodeSocket(t *testing.T) {
	loopback := [16]byte{15: 1}
	ipv4, ipv6 := recorded(t, "ipv4.dump"), recorded(t, "ipv6.dump")
	const payload = unix.SizeofNlMsghdr
	changed := func(at int, value byte) []byte {
		dump := slices.Clone(ipv4)
		dump[payload+at] = value
		return dump
	}
	clients := []socket{{mapped(127, 0, 0, 1), 0xca11}, {mapped(127, 0, 0, 1), 0xd63b}}
	for _, test := range []struct {
		name string
		dump []byte
		want []socket
	}{
		{"IPv4", ipv4, clients},
		{"IPv6, with mapped addresses", ipv6, []socket{
			{loopback, 20001}, {loopback, 0x835b}, {mapped(127, 0, 0, 2), 20001}, {mapped(127, 0, 0, 3), 20001},
		}},
		{"no longer established", changed(1, 6), clients[1:]},
		{"of another family", changed(0, unix.AF_UNIX), clients[1:]},
		{"shorter than inet_diag_msg", slices.Concat(binary.NativeEndian.AppendUint32(nil, payload+socketLength-4), ipv4[4:payload+socketLength-4], ipv4[124:]), clients[1:]},
	} {
		t.Run(test.name, func(t *testing.T) {
			messages, err := syscall.ParseNetlinkMessage(test.dump)
			if err != nil {
				t.Fatal(err)
			}
			var got []socket
			for _, message := range messages {
				if s, ok := decodeSocket(message.Data, tcpEstablished); ok {
					got = append(got, s)
				}
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(socket{})); diff != "" {
				t.Errorf("sockets (-want +got):\n%s", diff)
			}
		})
	}
}
