package accounting

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// The ports of the meter's tests are counted for UDP alone: two counters each.
var (
	aliceAndBob = Ports{{20000, OnlyUDP, "alice", false}, {20001, OnlyUDP, "bob", false}}
	aliceOnly   = aliceAndBob[:1]

	aliceIn = Key{20000, UDP, In}
	bobIn   = Key{20001, UDP, In}
)

const (
	aliceKeys = "[udp-20000-in udp-20000-out]"
	bobKeys   = "[udp-20001-in udp-20001-out]"
	bothKeys  = "[udp-20000-in udp-20000-out udp-20001-in udp-20001-out]"
)

// bench is a meter on models of the kernel and the disk, with a journal of the
// calls that it makes to them.
type bench struct {
	*Meter
	kernel  *kernel
	disk    *disk
	journal []string
	fail    map[string]error // by the first word of a call
	log     bytes.Buffer
}

// newBench returns a bench whose meter saves only what can't wait. If there are
// ports, they are in force and a first tick is done.
func newBench(t *testing.T, ports Ports) *bench {
	t.Helper()
	b := &bench{kernel: newKernel(), disk: newDisk(), fail: make(map[string]error)}
	note := func(call string) error {
		b.journal = append(b.journal, call)
		name, _, _ := strings.Cut(call, " ")
		return b.fail[name]
	}
	b.kernel.before, b.disk.before = note, note
	b.restart()
	if len(ports) > 0 {
		b.setPorts(t, ports)
		b.tick(t)
		b.journal = nil
	}
	return b
}

// restart replaces the meter, as a crash and the start of a new agent do.
func (b *bench) restart() {
	b.kernel.known = ""
	b.Meter = NewMeter(MeterOptions{
		Table: b.kernel, Now: b.kernel.now, Store: b.disk, Initial: b.disk.state(),
		SaveInterval: time.Hour, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	})
}

func (b *bench) setPorts(t *testing.T, ports Ports) {
	t.Helper()
	if err := b.SetPorts(ports); err != nil {
		t.Fatal(err)
	}
}

// tick lets a second pass.
func (b *bench) tick(t *testing.T) *Report {
	t.Helper()
	b.kernel.clock = b.kernel.clock.Add(time.Second)
	report, err := b.Tick()
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// refresh reads between two ticks.
func (b *bench) refresh() (*Report, error) {
	if err := b.Read(); err != nil {
		return nil, err
	}
	return b.Report(), nil
}

// traffic sends packets through a counter that must count them.
func (b *bench) traffic(t *testing.T, key Key, packets uint64) {
	t.Helper()
	if !b.kernel.table.traffic(key, count(packets)) {
		t.Fatalf("%s is not counted", key)
	}
}

// reset sets all counters to 0, as `nft reset counters` does.
func (b *bench) reset() {
	for _, c := range b.kernel.table.counters {
		c.value = Count{}
	}
}

// saved returns the total with which the next agent would begin.
func (b *bench) saved(key Key) Count { return b.disk.accounts[key].Total }

func (b *bench) expectJournal(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(b.journal, want) {
		t.Errorf("got the calls\n\t%s\nwant\n\t%s", strings.Join(b.journal, "\n\t"), strings.Join(want, "\n\t"))
	}
	b.journal = nil
}

func (b *bench) expectLoggedOnce(t *testing.T, text string) {
	t.Helper()
	if got := strings.Count(b.log.String(), text); got != 1 {
		t.Errorf("%q: got %d log lines, want 1, in\n%s", text, got, &b.log)
	}
}

// inOf returns the incoming flow of a port in a report.
func inOf(t *testing.T, report *Report, number uint16) (flow Flow, rated bool) {
	t.Helper()
	for _, port := range report.Ports {
		if port.Port.Number == number {
			return port.UDP.In, port.RatesKnown
		}
	}
	t.Fatalf("port %d is not in the report", number)
	return Flow{}, false
}
