package netlink

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/testkit"
)

const sequence = 7

// message returns a message of the dump, padded.
func message(messageType, flags uint16, payload ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, messageType)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = append(binary.NativeEndian.AppendUint32(b, 0), payload...)
	return append(b, make([]byte, Align(len(b))-len(b))...)
}

func code(errno unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, -uint32(errno)) }

func TestDump(t *testing.T) {
	first, second := message(20, unix.NLM_F_MULTI, 1, 0, 0, 0), message(20, unix.NLM_F_MULTI, 2, 0, 0, 0)
	two, done := slices.Concat(first, second), message(unix.NLMSG_DONE, unix.NLM_F_MULTI, code(0)...)
	changed := func(at int, value ...byte) []byte {
		datagram := slices.Clone(two)
		copy(datagram[at:], value)
		return datagram
	}
	for _, test := range []struct {
		name     string
		datagram []byte
		want     string // what the messages hold
		complete bool
		err      error
	}{
		{"to the end", slices.Concat(two, done), "\x01\x02", true, nil},
		{"goes on in the next datagram", two, "\x01\x02", false, nil},
		{"nothing", nil, "", false, nil},
		{"of an earlier dump", changed(8, 6), "\x02", false, nil},
		{"interrupted", slices.Concat(message(20, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, 1, 0, 0, 0), second, done), "\x01\x02", true, ErrInterrupted},
		{"interrupted at its end", slices.Concat(two, message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, code(0)...)), "\x01\x02", true, ErrInterrupted},
		{"refused", slices.Concat(two, message(unix.NLMSG_DONE, 0, code(unix.EINVAL)...)), "\x01\x02", true, unix.EINVAL},
		{"refused at once", message(unix.NLMSG_ERROR, 0, code(unix.EPERM)...), "", true, unix.EPERM},
		{"end without a number", message(unix.NLMSG_DONE, 0), "", true, nil},
		{"cut in a header", two[:len(first)+10], "\x01", false, ErrMalformed},
		{"cut in a message", two[:len(two)-4], "\x01", false, ErrMalformed},
		{"length too small", changed(len(first), 15, 0, 0, 0), "\x01", false, ErrMalformed},
		{"length too large", changed(len(first), 0xff, 0xff, 0xff, 0xff), "\x01", false, ErrMalformed},
		{"no room for a protocol's header", message(20, 0, 1, 2, 3), "", false, ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []byte
			d := dump{sequence: sequence, visit: func(m Message) error {
				if got = append(got, m.Body()[0]); m.Type() != 20 {
					t.Errorf("got type %d", m.Type())
				}
				return nil
			}}
			err := d.add(test.datagram)
			if d.complete != test.complete || !errors.Is(err, test.err) || string(got) != test.want {
				t.Errorf("got %q, %t, %v, want %q, %t, %v", got, d.complete, err, test.want, test.complete, test.err)
			}
		})
	}
}

func FuzzDump(f *testing.F) {
	f.Add(slices.Concat(message(20, 0, 1, 2, 3, 4, 5), message(unix.NLMSG_DONE, 0, code(unix.EPERM)...)))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		visited := 0
		d := dump{sequence: sequence, visit: func(m Message) error {
			for range Attributes(m.Body()) {
				visited++
			}
			return nil
		}}
		_ = d.add(datagram)
		if most := len(datagram) / unix.SizeofNlAttr; visited > most {
			t.Errorf("%d attributes in %d bytes, want at most %d", visited, len(datagram), most)
		}
	})
}

// TestVisitAfterAFailure makes dumps of more rules than fit into a datagram fail.
// Nothing is left of one in the next.
func TestVisitAfterAFailure(t *testing.T) {
	testkit.NetworkNamespace(t)
	const want = 500
	testkit.NFT(t, "table ip t { chain c {\n"+strings.Repeat("counter\n", want)+"}; }")
	conn, err := Open(unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const newRule, getRule = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE
	rules := func() (count int, err error) {
		err = conn.Visit(getRule, []byte{unix.NFPROTO_IPV4, unix.NFNETLINK_V0, 0, 0}, func(messageType uint16, _ []byte) {
			if messageType == newRule {
				count++
			}
		})
		return count, err
	}
	for _, failure := range []error{ErrInterrupted, unix.ENOBUFS, ErrMalformed} {
		conn.onReceive = func() error { return failure }
		if _, err := rules(); !errors.Is(err, failure) {
			t.Errorf("got %v, want %v", err, failure)
		}
		conn.onReceive = nil
		if got, err := rules(); got != want || err != nil {
			t.Errorf("after %v: got %d rules, %v, want %d", failure, got, err, want)
		}
	}
	if err := conn.Visit(0x3f<<8, make([]byte, 4), nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a type that no kernel has: got %v, want EINVAL", err)
	}
}
