package accounting

import (
	"testing"
	"time"
)

// at is a sample with a time.
func (s *Sample) at(t time.Time) *Sample {
	s.Time = t
	return s
}

func TestLedgerRecordsGains(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ledger := NewLedger(State{})
	ledger.Add(sample(oldTable, reading(alice, 7), reading(bob, 0)).at(noon))
	ledger.Add(sample(oldTable, reading(alice, 9), reading(bob, 1)).at(noon.Add(14 * time.Minute)))
	ledger.Add(sample(oldTable, reading(alice, 9), reading(bob, 3)).at(noon.Add(15 * time.Minute)))
	ledger.Add(sample(oldTable, reading(alice, 2), reading(bob, 3)).at(noon.Add(16 * time.Minute)))
	want := []Gain{
		{noon.Add(14 * time.Minute), alice, count(9)},
		{noon.Add(16 * time.Minute), alice, count(2)},
		{noon.Add(14 * time.Minute), bob, count(1)},
		{noon.Add(15 * time.Minute), bob, count(2)},
	}
	expectGains(t, ledger.Changes().Gains, want)
	ledger.MarkSaved()
	expectGains(t, ledger.Changes().Gains, nil)
	ledger.Add(sample(oldTable, reading(alice, 5)).at(noon.Add(17 * time.Minute)))
	expectGains(t, ledger.Changes().Gains, []Gain{{noon.Add(17 * time.Minute), alice, count(3)}})
}

func expectGains(t *testing.T, got, want []Gain) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d gains %v, want %v", len(got), got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("gain %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

// TestGainsAreBounded lets readings go unsaved for years.
func TestGainsAreBounded(t *testing.T) {
	ledger := NewLedger(State{})
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	packets := uint64(0)
	const ports = 20
	for range 3 * 366 * 24 {
		now = now.Add(time.Hour)
		packets++
		s := sample(oldTable).at(now)
		for port := range uint16(ports) {
			s.Readings = append(s.Readings, reading(Key{port, TCP, In}, packets))
		}
		ledger.Add(s)
		if size := len(ledger.gains.list); size > maxGains+10*ports { // a merge may need to be repeated
			t.Fatalf("got %d gains, want at most %d", size, maxGains+10*ports)
		}
	}
	sums := make(map[Key]Count)
	var last Gain
	for _, gain := range ledger.Changes().Gains {
		sums[gain.Key] = sums[gain.Key].Plus(gain.Count)
		if order := gain.Key.Compare(last.Key); order < 0 || order == 0 && gain.Time.Before(last.Time) {
			t.Fatalf("a gain of %v follows one of %v", gain, last)
		}
		last = gain
	}
	for key, sum := range sums {
		if total, _ := ledger.Total(key); sum != total {
			t.Errorf("%s: got gains of %v, want the total %v", key, sum, total)
		}
	}
	if len(sums) != ports || !last.Time.Equal(now) {
		t.Errorf("%d accounts have gains, the last one of %s", len(sums), last.Time)
	}
}
