package accounting

import (
	"errors"
	"testing"
	"time"
)

// TestHandOverClosesTheBooks gives a port to another client after traffic that no tick
// has read.
func TestHandOverClosesTheBooks(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.traffic(t, aliceIn, 7)
	b.kernel.clock = b.kernel.clock.Add(time.Second)
	since := time.Time{}
	err := b.HandOver(20000, "dave", func(at time.Time) error {
		b.journal = append(b.journal, "begin")
		since = at
		if got := b.saved(aliceIn); got != count(7) {
			t.Errorf("when dave begins, %v are saved, want 7 packets", got)
		}
		return nil
	})
	if err != nil || !since.Equal(b.kernel.clock) {
		t.Errorf("got %v, and a client since %s, want %s", err, since, b.kernel.clock)
	}
	b.expectJournal(t, "read", "save", "begin")
	if got := b.Ports(); got[0].Name != "dave" || got[1].Name != "bob" || aliceAndBob[0].Name != "alice" {
		t.Errorf("the ports in force are %v", got)
	}
	report, err := b.refresh()
	if err != nil || report.Ports[0].Port.Name != "dave" || report.Ports[1].Port.Name != "bob" {
		t.Errorf("the next report has the ports %+v, %v", report.Ports, err)
	}
	if got := report.Ports[0].UDP.In.Earlier; got != count(7) {
		t.Errorf("dave's predecessor has used %v, want 7 packets", got)
	}
	b.traffic(t, aliceIn, 2)
	if report, err := b.refresh(); err != nil || report.Ports[0].UDP.In.Total != count(9) || report.Ports[0].UDP.In.Earlier != count(7) {
		t.Errorf("after dave's traffic: got %+v, %v", report.Ports, err)
	}
	b.SetEarlier(map[Key]Count{aliceIn: count(3)})
	if report, err := b.refresh(); err != nil || report.Ports[0].UDP.In.Earlier != count(3) || report.Ports[1].UDP.In.Earlier != (Count{}) {
		t.Errorf("as the store knows it, the ports are %+v, %v", report, err)
	}
	if flow, rated := inOf(t, b.tick(t), 20000); !rated || flow.Rate.Packets != 4.5 {
		t.Errorf("the tick after it has %+v, %t, want the rate of two seconds", flow, rated)
	}
}

// TestHandOverFails expects the port to keep its client.
func TestHandOverFails(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name   string
		failed string // a call; empty: begin
		err    error
	}{
		{"the counters can't be read", "read", broken},
		{"the totals can't be saved", "save", broken},
		{"the client can't begin", "", broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, aliceAndBob)
			b.traffic(t, aliceIn, 7)
			if test.failed != "" {
				b.fail[test.failed] = test.err
			}
			err := b.HandOver(20000, "dave", func(time.Time) error {
				if test.failed != "" {
					t.Error("dave begins")
				}
				return broken
			})
			if !errors.Is(err, broken) || b.Ports()[0].Name != "alice" {
				t.Errorf("got %v and the ports %v", err, b.Ports())
			}
		})
	}
}

// TestHandOverWithoutATable has nothing to read.
func TestHandOverWithoutATable(t *testing.T) {
	b := newBench(t, nil)
	begun := false
	if err := b.HandOver(20000, "dave", func(time.Time) error { begun = true; return nil }); err != nil || !begun {
		t.Errorf("got %v, begun: %t", err, begun)
	}
}
