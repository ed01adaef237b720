package throttle

import (
	"testing"
	"time"
)

// TestBudget spends processor time, and lets time pass.
func TestBudget(t *testing.T) {
	const share, burst = 10, 20 * time.Millisecond
	start := time.Unix(1e9, 0)
	b := Budget{Share: share, Burst: burst}
	if b.Spent(start) {
		t.Error("spent before it is used")
	}
	spend := func(now time.Time, time time.Duration) {
		b.Spend(now, func() {
			for before := ProcessorTime(); ProcessorTime()-before < time; {
			}
		})
	}
	spend(start, burst+10*time.Millisecond)
	debt := b.debt
	for after, want := range map[time.Duration]bool{0: true, share * (debt - burst) / 2: true, share * (debt - burst): false, share * debt: false} {
		if got := b.Spent(start.Add(after)); got != want {
			t.Errorf("after %s: got %t, want %t", after, got, want)
		}
	}
	spend(start.Add(share*burst), burst/2) // the debts add up
	if !b.Spent(start.Add(share * burst)) {
		t.Errorf("got a debt of %s, want that of before, too", b.debt)
	}
}
