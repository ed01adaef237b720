package api

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
)

func TestCoalescedReadsOnceForAllWhoAsk(t *testing.T) {
	var now atomic.Int64
	clock := func() time.Time { return sample.Noon.Add(time.Duration(now.Load())) }
	release := make(chan struct{})
	feed := &agent{}
	report := sample.Report() // in use until the end, or it would have to be read again
	defer runtime.KeepAlive(report)
	feed.Answers(func(context.Context) (*accounting.Report, error) {
		<-release
		return report, nil
	})
	shared := NewCoalesced(feed, 200*time.Millisecond, clock)

	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			if _, err := shared.Report(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	testkit.Until(t, "the reading begins", func() bool { return feed.Asked.Load() > 0 })
	close(release)
	clients.Wait()
	for _, step := range []struct {
		after time.Duration
		want  int64
	}{{199 * time.Millisecond, 1}, {200 * time.Millisecond, 2}, {399 * time.Millisecond, 2}, {time.Second, 3}} {
		now.Store(int64(step.after))
		if _, err := shared.Report(t.Context()); err != nil {
			t.Error(err)
		}
		if asked := feed.Asked.Load(); asked != step.want {
			t.Errorf("after %s the counters were read %d times, want %d", step.after, asked, step.want)
		}
	}
}

func TestCoalescedSurvivesTheClientThatAskedFirst(t *testing.T) {
	release := make(chan struct{})
	feed := &agent{}
	feed.Answers(func(ctx context.Context) (*accounting.Report, error) {
		<-release
		return sample.Report(), ctx.Err()
	})
	shared := NewCoalesced(feed, time.Hour, sample.AtNoon)
	hasty, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := shared.Report(hasty)
		left <- err
	}()
	testkit.Until(t, "the reading begins", func() bool { return feed.Asked.Load() == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the first client got %v, want context.Canceled", err)
	}
	close(release)
	if _, err := shared.Report(t.Context()); err != nil {
		t.Errorf("the second client got %v", err)
	}
}

func TestCoalescedDoesNotHammerWhatFails(t *testing.T) {
	feed := &agent{}
	feed.AnswersWith(nil, accounting.ErrNoTable)
	shared := NewCoalesced(feed, time.Hour, sample.AtNoon)
	for range 3 {
		if report, err := shared.Report(t.Context()); report != nil || !errors.Is(err, accounting.ErrNoTable) {
			t.Errorf("%v, %v, want ErrNoTable", report, err)
		}
	}
	if asked := feed.Asked.Load(); asked != 1 {
		t.Errorf("the counters were read %d times, want once", asked)
	}
}
