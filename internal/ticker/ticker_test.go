package ticker

import (
	"testing"
	"time"
)

func TestTickerKeepsItsIntervalAndDropsWhatNobodyTakes(t *testing.T) {
	const interval = 20 * time.Millisecond
	ticks, err := New(interval)
	if err != nil {
		t.Fatal(err)
	}
	defer ticks.Stop()
	start := time.Now()
	const count = 20
	for range count {
		<-ticks.C
	}
	if elapsed := time.Since(start); elapsed < (count-1)*interval {
		t.Errorf("%d ticks took %s, want at least %s", count, elapsed, (count-1)*interval)
	}
	time.Sleep(5 * interval) // nobody takes these
	start = time.Now()
	select {
	case <-ticks.C:
	default:
		t.Error("no tick has waited: a slow reader would lose the time until the next one")
	}
	for range 2 {
		<-ticks.C
	}
	if elapsed := time.Since(start); elapsed < interval {
		t.Errorf("3 ticks took %s after a pause, want only one of them to have waited", elapsed)
	}
	ticks.Stop()
	for range 2 { // one may have waited
		select {
		case <-ticks.C:
		case <-time.After(2 * interval):
			return
		}
	}
	t.Error("it ticks after Stop")
}

func TestTickerRefusesAnIntervalOfNothing(t *testing.T) {
	ticks, err := New(-time.Second)
	if err == nil {
		ticks.Stop()
		t.Error("got a ticker, want an error")
	}
}
