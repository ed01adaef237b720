package accounting

import (
	"errors"
	"testing"
	"time"
)

// TestMeterBoundsWhatOthersHaveLost has intervals of a second.
func TestMeterBoundsWhatOthersHaveLost(t *testing.T) {
	for _, test := range []struct {
		name string
		harm func(t *testing.T, b *bench)
		want time.Duration
	}{
		{"nothing", func(*testing.T, *bench) {}, 0},
		{"reset", func(t *testing.T, b *bench) {
			b.traffic(t, aliceIn, 5)
			b.tick(t)
			b.reset()
		}, time.Second},
		{"changed table", func(_ *testing.T, b *bench) { b.kernel.table.cut = true }, time.Second},
		{"restored table", func(_ *testing.T, b *bench) { b.kernel.load(b.kernel.listing()) }, time.Second},
		{"deleted table", func(_ *testing.T, b *bench) { b.kernel.table = nil }, time.Second},
		{"deleted table, set up again by another process", func(t *testing.T, b *bench) {
			b.kernel.table = nil
			if err := b.kernel.Install(aliceOnly); err != nil {
				t.Fatal(err)
			}
		}, time.Second},
		{"port of our own", func(t *testing.T, b *bench) { b.setPorts(t, aliceAndBob) }, 0},
		{"reading that fails once", func(t *testing.T, b *bench) {
			b.fail["read"] = errors.New("interrupted")
			b.kernel.clock = b.kernel.clock.Add(time.Second)
			if _, err := b.Tick(); err == nil {
				t.Fatal("the tick succeeded")
			}
			delete(b.fail, "read")
		}, 0},
		{"table that can't be repaired at once", func(t *testing.T, b *bench) {
			b.kernel.table.cut = true
			b.fail["install"] = errors.New("refused")
			b.tick(t)
			delete(b.fail, "install")
		}, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, aliceOnly)
			test.harm(t, b)
			for range 3 {
				b.kernel.clock = b.kernel.clock.Add(time.Second)
				_, _ = b.Tick() // the first one may find no table
			}
			if got := b.Status().Uncertain; got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
