package ticker

import (
	"errors"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

func TestTickerKeepsItsIntervalAndDropsWhatNobodyTakes(t *testing.T) {
	const interval = 20 * time.Millisecond
	start := time.Now()
	ticks, err := New(interval)
	if err != nil {
		t.Fatal(err)
	}
	defer ticks.Stop()
	const count = 20
	for range count {
		<-ticks.C
	}
	if elapsed := time.Since(start); elapsed < (count-1)*interval {
		t.Errorf("%d ticks took %s, want at least %s", count, elapsed, (count-1)*interval)
	}
	time.Sleep(5 * interval) // nobody takes these
	// A slow reader would lose the time until the next one if none waited.
	testkit.Eventually(t, 10*time.Second, func() error {
		if len(ticks.C) == 0 {
			return errors.New("no tick waits")
		}
		return nil
	})
	// One has waited, another may come late, and the third at any time after that.
	const most = 3
	start = time.Now()
	for range most + 4 {
		<-ticks.C
	}
	if elapsed := time.Since(start); elapsed < 4*interval {
		t.Errorf("%d ticks took %s after a pause, want only one of them to have waited", most+4, elapsed)
	}
	ticks.Stop()
	for range 3 { // one may have waited, and another be on its way
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
