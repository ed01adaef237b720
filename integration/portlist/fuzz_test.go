package portlist

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
)

func FuzzParseSpec(f *testing.F) {
	for _, spec := range []string{
		"20000", "20000-20002/tcp=alice", "0", "70000", "80a", "2-1", "1/sctp", "1=", "65535-65535/udp= # b ",
		"1=\u202e", "1=\xff", "1=a\u00a0", "-", "=", "/",
		"1@172.17.0.2:2", "1-3/tcp@[fd00::2]@172.17.0.2=a@b", "1@", "1@[::1]:1", "1@[fe80::1%0]", "1@[::ffff:1.2.3.4]:0",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		ports, targets, err := ParseSpec(spec)
		if err != nil {
			if _, ok := errors.AsType[*SpecError](err); !ok {
				t.Fatalf("the error is %T, want a SpecError", err)
			}
			return
		}
		for i, port := range ports {
			if port.Number == 0 || port.Protocols == 0 || port.Protocols > accounting.TCPAndUDP || !utf8.ValidString(port.Name) {
				t.Fatalf("no valid port: %+v", port)
			}
			if i > 0 && port.Number != ports[i-1].Number+1 {
				t.Fatalf("port %d follows port %d", port.Number, ports[i-1].Number)
			}
		}
		if merged, err := accounting.Ports(ports).Targets(targets); err != nil || !slices.Equal(merged, targets) {
			t.Fatalf("the targets are not sorted, unique and of the ports: %v, %v", targets, err)
		}
		targets = targets[:len(targets)/len(ports)]
		again, targetsAgain, err := ParseSpec(FormatSpec(ports[0], targets...))
		if err != nil || !slices.Equal(again, ports[:1]) || !slices.Equal(targetsAgain, targets) {
			t.Fatalf("%+v became %+v, %v became %v, %v", ports[0], again, targets, targetsAgain, err)
		}
		if accounting.CleanName(ports[0].Name) != ports[0].Name {
			t.Fatalf("cleaning changed the name %q", ports[0].Name)
		}
	})
}

func FuzzReadList(f *testing.F) {
	for _, list := range []string{
		"", "# comment\n\n20000\n", "20000=alice\r\n20001/tcp\n", "\ufeff1-3=x\n2=y", "1\x00", "1\v\n\f2",
		"# from \"\\\"\u202e\\\"\"\n1\n", "# from \"\n1\n", "# from /a\n# from /b\n1\n# from --port\n2=x\n", "# published\n1\n# from /a\n# published\n2\n",
		"1/tcp@172.17.0.2\n1/udp@172.17.0.3=a\n2-3@[fd00::2]\n# published\n4@172.17.0.2:1@172.17.0.2:2\n",
	} {
		f.Add([]byte(list))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parse(data)
		if err != nil {
			return
		}
		list, err := format(entries)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := parse(list)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		want, _ := accounting.Union(Ports(entries))
		got, _ := accounting.Union(Ports(again))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		wantTargets, wantErr := want.Targets(Targets(entries))
		gotTargets, gotErr := got.Targets(Targets(again))
		if !slices.Equal(gotTargets, wantTargets) || (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("targets %v became %v, %v, %v", wantTargets, gotTargets, wantErr, gotErr)
		}
		if diff := cmp.Diff(sourcesOf(entries), sourcesOf(again)); diff != "" {
			t.Fatal(diff)
		}
		if rewritten, err := format(again); err != nil || !bytes.Equal(rewritten, list) {
			t.Fatalf("the list is not the same when written again: %v", err)
		}
	})
}

// sourcesOf returns which protocols of which ports each list of sources has.
func sourcesOf(entries []Entry) map[string]bool {
	sources := make(map[string]bool)
	for _, entry := range entries {
		for _, protocol := range []accounting.Protocols{accounting.OnlyTCP, accounting.OnlyUDP} {
			if entry.Protocols&protocol != 0 {
				sources[fmt.Sprintf("%d %d %t %q", entry.Number, protocol, entry.Published, entry.Sources)] = true
			}
		}
	}
	return sources
}
