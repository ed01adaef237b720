package serving

import (
	"context"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestSharedWhileReadersComeAndGo has readers that leave while others join: a
// version that nobody reads any more may be dropped between any two steps of join.
func TestSharedWhileReadersComeAndGo(t *testing.T) {
	open := func(context.Context) (*int, error) { return new(int), nil }
	shared := NewShared(open, 0, time.Now)
	var readers sync.WaitGroup
	for range 32 {
		readers.Go(func() {
			for range 50_000 {
				shared.Read(t.Context(), httptest.NewRecorder(), func(value *int, err error) {
					runtime.Gosched()
					if value == nil || err != nil {
						t.Errorf("got %v, %v", value, err)
					}
				})
			}
		})
	}
	readers.Wait()
	if shared.current != nil || shared.previous != nil {
		t.Error("a version is kept that nobody reads")
	}
}
