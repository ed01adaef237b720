package nft

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
	"ssmonitor/internal/testkit"
)

func TestCounterNames(t *testing.T) {
	for _, key := range append(portList(3).Keys(),
		accounting.Key{Port: 1, Protocol: accounting.TCP},
		accounting.Key{Port: 65535, Protocol: accounting.UDP, Direction: accounting.Out}) {
		name := key.String()
		if got, ok := parseCounterName([]byte(name)); !ok || got != key {
			t.Errorf("%s: got %+v, %t, want %+v", name, got, ok, key)
		}
	}
	for _, name := range []string{
		"", "tcp-", "tcp-1", "tcp-in", "tcp--in", "tcp-1-", "tcp-1-on", "tcp-01-in", "tcp-0-in", "tcp-65536-in",
		"tcp-100000-in", "sctp-1-in", "tcp-1-in ", "tcp-1-inn", "TCP-1-in", "udp-+1-in", "tcp-1-out-in",
	} {
		if key, ok := parseCounterName([]byte(name)); ok {
			t.Errorf("%q: got %+v, want no key", name, key)
		}
	}
}

// FuzzMessages decodes arbitrary bytes as an answer from the kernel: nothing may
// panic, and every walk must end.
func FuzzMessages(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.dump")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no dumps in testdata: %v", err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		refused := &batchError{}
		sent := newBatch()
		sent.deleteTable()
		sent.finish()
		for first := range uint32(4) {
			_ = refused.add(sent, first, datagram)
		}
		found := &inspection{}
		for rest := datagram; len(rest) > 0; {
			m, next, err := netlink.Next(rest)
			if err != nil {
				return
			}
			if len(next) >= len(rest) {
				t.Fatalf("no step in %d bytes", len(rest))
			}
			rest = next
			_ = m.Errno()
			_ = describe(m)
			_ = decodeTable(payload(m))
			found.addElement(portMap(accounting.In), payload(m))
			_ = sameExpressions(payload(m), payload(m))
			if reading, ok := decodeCounter(payload(m)); ok {
				if key, ok := parseCounterName([]byte(reading.Key.String())); !ok || key != reading.Key {
					t.Fatalf("%+v has a name that does not read back", reading.Key)
				}
			}
		}
	})
}

// TestDecodeRealDump decodes a dump that a 6.18 kernel made of the counters of
// port 20000.
func TestDecodeRealDump(t *testing.T) {
	if testkit.Updating() {
		writeDumps(t)
	}
	data, err := os.ReadFile("testdata/counters.dump")
	if err != nil {
		t.Fatal(err)
	}
	var keys []accounting.Key
	allocations := testing.AllocsPerRun(10, func() {
		keys = keys[:0]
		for rest := data; len(rest) > 0; {
			var m netlink.Message
			var err error
			if m, rest, err = netlink.Next(rest); err != nil {
				t.Fatal(err)
			}
			if reading, ok := decodeCounter(payload(m)); ok && reading.Handle > 0 {
				keys = append(keys, reading.Key)
			}
		}
	})
	if want := portList(1).Keys(); len(keys) != len(want) || keys[0] != want[0] || keys[3] != want[3] {
		t.Errorf("got %v, want %v", keys, want)
	}
	if allocations > 0 {
		t.Errorf("got %.1f allocations, want 0", allocations)
	}
}

// writeDumps records the kernel's answers that are test data for the decoder.
func writeDumps(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{Hook: HookContainer})
	install(t, table, portList(1))
	for name, ask := range map[string][]byte{
		"counters": counterRequest(),
		"table":    request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, TableName) }),
		"elements": elementsRequest(portMap(accounting.In)),
		"rules":    request(msgGetRule, unix.NLM_F_DUMP, func(e *encoder) { e.str(unix.NFTA_RULE_TABLE, TableName) }),
		"error":    request(msgGetTable, 0, func(e *encoder) { e.str(unix.NFTA_TABLE_NAME, "missing") }),
	} {
		if _, err := table.conn.send(ask); err != nil {
			t.Fatal(err)
		}
		answer, err := table.conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/"+name+".dump", answer, 0o644); err != nil {
			t.Fatal(err)
		}
		table.conn.Drain()
	}
}
