package conntrack

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// recorded is a dump of Linux 6.18: a ping, flows of TCP and UDP over IPv6, one in a
// zone, a redirected one, one with a zone for its original direction only, and one
// that the server began.
//
//go:embed testdata/flows.dump
var recorded []byte

// Where the messages begin in it, and the last entry ends.
const (
	atTCP  = 180
	atUDP6 = 440
	atUDP4 = 652
	atDone = 1324
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

func TestVisitFlows(t *testing.T) {
	all := recordedFlows()
	changed := func(at int, value ...byte) []byte {
		dump := slices.Clone(recorded)
		copy(dump[at:], value)
		return dump
	}
	code := func(errno unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, -uint32(errno)) }
	const (
		original = atTCP + headerLength // CTA_TUPLE_ORIG of the TCP flow
		reply    = original + 76
		protocol = original + 4 + 44 + 4 // CTA_PROTO_NUM
	)
	for _, test := range []struct {
		name string
		dump []byte
		want []Flow
		done bool
		err  error
	}{
		{"all", recorded, all, true, nil},
		{"goes on in the next datagram", recorded[:atDone], all, false, nil},
		{"nothing", nil, nil, false, nil},
		{"of another dump", changed(atTCP+8, 9), all[1:], true, nil},
		{"of another type", changed(atTCP+4, 9), all[1:], true, nil},
		{"of SCTP", changed(protocol+4, unix.IPPROTO_SCTP), all[1:], true, nil},
		{"without the original tuple", changed(original+2, 0x63), all[1:], true, nil},
		{"without the reply tuple", changed(reply+2, 0x63), all[1:], true, nil},
		{"without addresses", changed(original+4+2, 0x63), all[1:], true, nil},
		{"address of another length", changed(original+8, 19), all[1:], true, nil},
		{"attribute cut off", changed(original, 0xff, 0xff), all[1:], true, nil},
		{"attribute shorter than its header", changed(original, 3, 0), all[1:], true, nil},
		{"shorter than nfgenmsg", slices.Concat([]byte{16, 0}, recorded[2:16], recorded[atUDP6:]), all[1:], true, nil},
		{"interrupted", changed(atUDP6+6, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR), all[:1], false, ErrInterrupted},
		{"interrupted at its end", changed(atDone+6, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR), all, false, ErrInterrupted},
		{"refused", changed(atDone+16, code(unix.EINVAL)...), all, true, unix.EINVAL},
		{"refused at once", slices.Concat(recorded[atDone:atDone+4], []byte{unix.NLMSG_ERROR}, recorded[atDone+5:atDone+16], code(unix.EPERM)), nil, true, unix.EPERM},
		{"cut in a header", recorded[:atUDP6+10], all[:1], false, ErrMalformed},
		{"cut in a message", recorded[:atUDP4-10], all[:1], false, ErrMalformed},
		{"length too small", changed(atUDP6, 15, 0, 0, 0), all[:1], false, ErrMalformed},
		{"length too large", changed(atUDP6, 0xff, 0xff, 0xff, 0xff), all[:1], false, ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []Flow
			done, err := visitDump(test.dump, func(flow Flow) { got = append(got, flow) })
			if done != test.done || !errors.Is(err, test.err) {
				t.Errorf("got %t, %v, want %t, %v", done, err, test.done, test.err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(Flow{})); diff != "" {
				t.Errorf("flows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVisitFlowsDoesNotAllocate(t *testing.T) {
	visited := 0
	visit := func(Flow) { visited++ }
	if allocs := testing.AllocsPerRun(100, func() { _, _ = visitDump(recorded, visit) }); allocs != 0 {
		t.Errorf("%v allocations per datagram, want 0", allocs)
	}
	if visited == 0 {
		t.Error("no flow was visited")
	}
}

// FuzzVisitFlows decodes arbitrary bytes as an answer from the kernel: nothing may
// panic, the walk must end, and a flow has all its addresses.
func FuzzVisitFlows(f *testing.F) {
	f.Add(recorded)
	f.Add(recorded[atUDP6:atUDP4])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		visited := 0
		_, _ = visitDump(datagram, func(flow Flow) {
			visited++
			for _, tuple := range []Tuple{flow.Original, flow.Reply} {
				if !tuple.Source.IsValid() || !tuple.Destination.IsValid() {
					t.Errorf("%+v lacks an address", flow)
				}
			}
		})
		if most := len(datagram) / headerLength; visited > most {
			t.Errorf("%d flows in %d bytes, want at most %d", visited, len(datagram), most)
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
		{"interrupted once", filter, answers{ErrInterrupted, nil}, []uint32{filter, filter}, nil},
		{"interrupted twice", 0, answers{ErrInterrupted, ErrInterrupted, nil}, []uint32{0, 0, 0}, nil},
		{"always interrupted", 0, answers{ErrInterrupted, ErrInterrupted, ErrInterrupted}, []uint32{0, 0, 0}, ErrInterrupted},
		{"the filter is refused", filter, answers{unix.EINVAL, nil}, []uint32{filter, 0}, nil},
		{"the filter is not supported", filter, answers{unix.EOPNOTSUPP, nil}, []uint32{filter, 0}, nil},
		{"no ctnetlink", filter, answers{unix.EINVAL, unix.EINVAL}, []uint32{filter, 0}, ErrUnsupported},
		{"no ctnetlink, without a filter", 0, answers{unix.EINVAL}, []uint32{0}, ErrUnsupported},
		{"no netfilter", 0, answers{unix.EPROTONOSUPPORT}, []uint32{0}, ErrUnsupported},
		{"no privilege", filter, answers{unix.EPERM}, []uint32{filter}, fs.ErrPermission},
		{"malformed", filter, answers{ErrMalformed}, []uint32{filter}, ErrMalformed},
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
