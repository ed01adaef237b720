package conntrack

import (
	_ "embed"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
)

// recorded is a dump of Linux 6.18: a ping, flows of TCP and UDP over IPv6, one in a
// zone, a redirected one, one with a zone for its original direction only, and one
// that the server began.
//
//go:embed testdata/flows.dump
var recorded []byte

// Where messages begin in it.
const (
	atTCP  = 180
	atUDP6 = 440
)

func recordedFlows() []Flow {
	return []Flow{
		flowOf(accounting.TCP, "[::1]:40010", "[::1]:30000", "[::1]:8388", "[::1]:40010"),
		flowOf(accounting.UDP, "[::1]:40000", "[::1]:30000", "[::1]:8388", "[::1]:40000"),
		flowOf(accounting.UDP, "127.0.0.1:8399", "127.0.0.1:8399", "127.0.0.1:8399", "127.0.0.1:8399"),
		flowOf(accounting.UDP, "127.0.0.1:40002", "127.0.0.3:30000", "127.0.0.2:8388", "127.0.0.1:40002"),
		flowOf(accounting.UDP, "127.0.0.1:8400", "127.0.0.1:8400", "127.0.0.1:8400", "127.0.0.1:8400"),
		flowOf(accounting.UDP, "127.0.0.2:8388", "127.0.0.1:40000", "127.0.0.1:40000", "127.0.0.3:8388"),
	}
}

func TestDecodeFlow(t *testing.T) {
	all := recordedFlows()
	changed := func(at int, value ...byte) []byte {
		dump := slices.Clone(recorded)
		copy(dump[at:], value)
		return dump
	}
	const (
		original = atTCP + unix.SizeofNlMsghdr + headerLength // CTA_TUPLE_ORIG of the TCP flow
		reply    = original + 76
		protocol = original + 4 + 44 + 4 // CTA_PROTO_NUM
	)
	for _, test := range []struct {
		name string
		dump []byte
		want []Flow
	}{
		{"all", recorded, all},
		{"of another type", changed(atTCP+4, 9), all[1:]},
		{"of SCTP", changed(protocol+4, unix.IPPROTO_SCTP), all[1:]},
		{"without the original tuple", changed(original+2, 0x63), all[1:]},
		{"without the reply tuple", changed(reply+2, 0x63), all[1:]},
		{"without addresses", changed(original+4+2, 0x63), all[1:]},
		{"address of another length", changed(original+8, 19), all[1:]},
		{"attribute cut off", changed(original, 0xff, 0xff), all[1:]},
		{"attribute shorter than its header", changed(original, 3, 0), all[1:]},
		{"shorter than nfgenmsg", slices.Concat([]byte{16, 0}, recorded[2:16], recorded[atUDP6:]), all[1:]},
	} {
		t.Run(test.name, func(t *testing.T) {
			messages, err := syscall.ParseNetlinkMessage(test.dump)
			if err != nil {
				t.Fatal(err)
			}
			var got []Flow
			for _, message := range messages {
				if flow, ok := decodeFlow(message.Header.Type, message.Data); ok {
					got = append(got, flow)
				}
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(Flow{})); diff != "" {
				t.Errorf("flows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFlowThatTheServerBegan has the server's packets at the original end, under
// rules that translate its source.
func TestFlowThatTheServerBegan(t *testing.T) {
	begun := recordedFlows()[5]
	if begun.DestinationTranslated() || begun.Ends() != [2]netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:8388"), netip.MustParseAddrPort("127.0.0.1:40000")} {
		t.Errorf("%+v: got the ends %v, want the server and its client, untranslated", begun, begun.Ends())
	}
}

// FuzzDecodeFlow decodes arbitrary bytes: nothing may panic, and a flow has all its
// addresses.
func FuzzDecodeFlow(f *testing.F) {
	f.Add(recorded[atTCP+unix.SizeofNlMsghdr : atUDP6])
	f.Fuzz(func(t *testing.T, message []byte) {
		flow, ok := decodeFlow(msgNew, message)
		for _, tuple := range []Tuple{flow.Original, flow.Reply} {
			if ok && (!tuple.Source.IsValid() || !tuple.Destination.IsValid()) {
				t.Errorf("%+v lacks an address", flow)
			}
		}
	})
}

func TestRetry(t *testing.T) {
	const filter = statusDestinationTranslated
	type answers []error
	for _, test := range []struct {
		name    string
		filter  uint32
		answers answers
		asked   []uint32 // the filters
		want    error
	}{
		{"at once", filter, answers{nil}, []uint32{filter}, nil},
		{"interrupted once", filter, answers{netlink.ErrInterrupted, nil}, []uint32{filter, filter}, nil},
		{"interrupted twice", 0, answers{netlink.ErrInterrupted, netlink.ErrInterrupted, nil}, []uint32{0, 0, 0}, nil},
		{"always interrupted", 0, answers{netlink.ErrInterrupted, netlink.ErrInterrupted, netlink.ErrInterrupted}, []uint32{0, 0, 0}, netlink.ErrInterrupted},
		{"the filter is refused", filter, answers{unix.EINVAL, nil}, []uint32{filter, 0}, nil},
		{"the filter is not supported", filter, answers{unix.EOPNOTSUPP, nil}, []uint32{filter, 0}, nil},
		{"no ctnetlink", filter, answers{unix.EINVAL, unix.EINVAL}, []uint32{filter, 0}, ErrUnsupported},
		{"no ctnetlink, without a filter", 0, answers{unix.EINVAL}, []uint32{0}, ErrUnsupported},
		{"no netfilter", 0, answers{unix.EPROTONOSUPPORT}, []uint32{0}, ErrUnsupported},
		{"no privilege", filter, answers{unix.EPERM}, []uint32{filter}, fs.ErrPermission},
		{"malformed", filter, answers{netlink.ErrMalformed}, []uint32{filter}, netlink.ErrMalformed},
		{"no memory", filter, answers{unix.ENOBUFS}, []uint32{filter}, unix.ENOBUFS},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked []uint32
			err := retry(test.filter, func(status uint32) error {
				if asked = append(asked, status); len(asked) > len(test.answers) {
					t.Fatalf("asked %d times", len(asked))
				}
				return test.answers[len(asked)-1]
			})
			if !errors.Is(err, test.want) || !slices.Equal(asked, test.asked) {
				t.Errorf("got %v after the filters %v, want %v after %v", err, asked, test.want, test.asked)
			}
		})
	}
}

func TestInUse(t *testing.T) {
	directory := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	none, some, absent := write("none", "0\n"), write("some", "12\n"), filepath.Join(directory, "absent")
	for _, test := range []struct {
		name, count, module string
		want                bool
		err                 error
	}{
		{"no entry", none, directory, false, nil},
		{"entries", some, absent, true, nil},
		{"no module", absent, absent, false, nil},
		{"sysctl is hidden", absent, directory, true, nil},
		{"unreadable", directory, directory, false, unix.EISDIR},
		{"no directory", absent, filepath.Join(none, "module"), false, unix.ENOTDIR},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := inUse(test.count, test.module)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %t, %v, want %t, %v", got, err, test.want, test.err)
			}
		})
	}
}
