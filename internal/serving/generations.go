package serving

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// HeldAtMost is how long a client may read something old while others want something
// new.
const HeldAtMost = 3 * time.Second

// ReadTimeout limits how long a request waits for a reading.
const ReadTimeout = 5 * time.Second

// longAgo is a deadline that ends what is in progress.
var longAgo = time.Unix(1, 0)

// Generations shares among clients what is large and changes all the time. At most two
// generations of it live, however many clients there are and however slow: the current
// one, and the previous one while somebody reads it.
//
// A client that wants a third gets the current one until that is HeldAtMost old. Then
// the previous one's readers are disconnected.
type Generations[T any] struct {
	open func(context.Context) (T, error)
	now  func() time.Time
	gap  time.Duration // how long a generation is current; 0: while somebody reads it

	turn *semaphore.Weighted // to join, or to open a generation
	left chan struct{}       // has a token after a reader has left

	mutex             sync.Mutex // of the readers too
	current, previous *generation[T]
}

// generation is what open returned.
type generation[T any] struct {
	started time.Time
	value   T
	err     error
	readers map[*http.ResponseController]struct{}
}

// NewGenerations returns generations that open opens, each at least gap after the one
// before.
func NewGenerations[T any](open func(context.Context) (T, error), gap time.Duration, now func() time.Time) *Generations[T] {
	return &Generations[T]{open: open, now: now, gap: gap, turn: semaphore.NewWeighted(1), left: make(chan struct{}, 1)}
}

// Read calls write with the current generation. If writing takes too long, the deadline
// of w ends it.
func (g *Generations[T]) Read(ctx context.Context, w http.ResponseWriter, write func(T, error)) {
	reader := http.NewResponseController(w)
	joined, err := g.join(ctx, reader)
	if err != nil {
		var none T
		write(none, err)
		return
	}
	defer g.leave(joined, reader)
	write(joined.value, joined.err)
}

func (g *Generations[T]) join(ctx context.Context, reader *http.ResponseController) (*generation[T], error) {
	if err := g.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer g.turn.Release(1)
	now := g.now()
	if current := g.joinCurrent(now, reader); current != nil {
		return current, nil
	}
	if err := g.retirePrevious(ctx); err != nil {
		return nil, err
	}
	return g.replace(ctx, now, reader), nil
}

// joinCurrent adds a reader to the current generation, unless that is to be replaced.
func (g *Generations[T]) joinCurrent(now time.Time, reader *http.ResponseController) *generation[T] {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.current == nil || now.Before(g.current.started) {
		return nil
	}
	age := now.Sub(g.current.started)
	if age >= HeldAtMost || age >= g.gap && g.previous == nil {
		return nil
	}
	g.current.readers[reader] = struct{}{}
	return g.current
}

// retirePrevious waits until nobody reads the previous generation any more.
func (g *Generations[T]) retirePrevious(ctx context.Context) error {
	for g.disconnectPrevious() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.left:
		}
	}
	return nil
}

// disconnectPrevious reports whether there are readers that it has disconnected.
func (g *Generations[T]) disconnectPrevious() bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.previous == nil {
		return false
	}
	for reader := range g.previous.readers {
		_ = reader.SetWriteDeadline(longAgo) // a response of a test has none
	}
	return true
}

// replace makes the current generation the previous one, and opens another. That has
// its first reader from the beginning: one without any may be dropped at once.
func (g *Generations[T]) replace(ctx context.Context, now time.Time, reader *http.ResponseController) *generation[T] {
	g.mutex.Lock()
	if g.current != nil && len(g.current.readers) > 0 {
		g.previous = g.current
	}
	g.current = nil // what nobody reads makes room first
	g.mutex.Unlock()

	// The others that wait need it even if this client leaves.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), ReadTimeout)
	defer cancel()
	next := &generation[T]{started: now, readers: map[*http.ResponseController]struct{}{reader: {}}}
	next.value, next.err = g.open(work)
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.current = next
	return next
}

// leave removes a reader, and what nobody needs any more.
func (g *Generations[T]) leave(joined *generation[T], reader *http.ResponseController) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	delete(joined.readers, reader)
	if g.previous != nil && len(g.previous.readers) == 0 {
		g.previous = nil
	}
	if g.gap == 0 && g.previous == nil && g.current != nil && len(g.current.readers) == 0 {
		g.current = nil
	}
	select {
	case g.left <- struct{}{}:
	default: // whoever waits looks again anyway
	}
}
