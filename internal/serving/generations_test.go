package serving

import (
	"context"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestGenerationsWhileReadersComeAndGo has readers that leave while others join: a
// generation that nobody reads any more may be dropped between any two steps of join.
func TestGenerationsWhileReadersComeAndGo(t *testing.T) {
	open := func(context.Context) (*int, error) { return new(int), nil }
	g := NewGenerations(open, 0, time.Now)
	var readers sync.WaitGroup
	for range 32 {
		readers.Go(func() {
			for range 50_000 {
				g.Read(t.Context(), httptest.NewRecorder(), func(value *int, err error) {
					runtime.Gosched()
					if value == nil || err != nil {
						t.Errorf("got %v, %v", value, err)
					}
				})
			}
		})
	}
	readers.Wait()
	if g.current != nil || g.previous != nil {
		t.Error("a generation is kept that nobody reads")
	}
}
