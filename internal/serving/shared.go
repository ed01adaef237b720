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

// Shared is a value for all clients that is large and changes all the time. At most two
// versions of it live, however many clients there are and however slow: the current
// one, and the previous one while somebody reads it.
//
// A client that wants a third gets the current one until that is HeldAtMost old. Then
// the previous one's readers are disconnected.
type Shared[T any] struct {
	open func(context.Context) (T, error)
	now  func() time.Time
	gap  time.Duration // how long a version is current; 0: while somebody reads it

	turn *semaphore.Weighted // to join, or to open a version
	left chan struct{}       // has a token after a reader has left

	mutex             sync.Mutex // of the readers too
	current, previous *version[T]
}

// version is what open returned.
type version[T any] struct {
	started time.Time
	value   T
	err     error
	readers map[*http.ResponseController]struct{}
}

// NewShared returns a value whose versions are what open returns, each at least gap after
// the one before.
func NewShared[T any](open func(context.Context) (T, error), gap time.Duration, now func() time.Time) *Shared[T] {
	return &Shared[T]{open: open, now: now, gap: gap, turn: semaphore.NewWeighted(1), left: make(chan struct{}, 1)}
}

// Read calls write with the current version. If writing takes too long, the deadline
// of w ends it.
func (s *Shared[T]) Read(ctx context.Context, w http.ResponseWriter, write func(T, error)) {
	reader := http.NewResponseController(w)
	joined, err := s.join(ctx, reader)
	if err != nil {
		var none T
		write(none, err)
		return
	}
	defer s.leave(joined, reader)
	write(joined.value, joined.err)
}

func (s *Shared[T]) join(ctx context.Context, reader *http.ResponseController) (*version[T], error) {
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.turn.Release(1)
	now := s.now()
	if current := s.joinCurrent(now, reader); current != nil {
		return current, nil
	}
	if err := s.retirePrevious(ctx); err != nil {
		return nil, err
	}
	return s.replace(ctx, now, reader), nil
}

// joinCurrent adds a reader to the current version, unless that is to be replaced.
func (s *Shared[T]) joinCurrent(now time.Time, reader *http.ResponseController) *version[T] {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.current == nil || now.Before(s.current.started) {
		return nil
	}
	age := now.Sub(s.current.started)
	if age >= HeldAtMost || age >= s.gap && s.previous == nil {
		return nil
	}
	s.current.readers[reader] = struct{}{}
	return s.current
}

// retirePrevious waits until nobody reads the previous version any more.
func (s *Shared[T]) retirePrevious(ctx context.Context) error {
	for s.disconnectPrevious() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.left:
		}
	}
	return nil
}

// disconnectPrevious reports whether there are readers that it has disconnected.
func (s *Shared[T]) disconnectPrevious() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.previous == nil {
		return false
	}
	for reader := range s.previous.readers {
		_ = reader.SetWriteDeadline(longAgo) // a response of a test has none
	}
	return true
}

// replace makes the current version the previous one, and opens another. That has
// its first reader from the beginning: one without any may be dropped at once.
func (s *Shared[T]) replace(ctx context.Context, now time.Time, reader *http.ResponseController) *version[T] {
	s.mutex.Lock()
	if s.current != nil && len(s.current.readers) > 0 {
		s.previous = s.current
	}
	s.current = nil // what nobody reads makes room first
	s.mutex.Unlock()

	// The others that wait need it even if this client leaves.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), ReadTimeout)
	defer cancel()
	next := &version[T]{started: now, readers: map[*http.ResponseController]struct{}{reader: {}}}
	next.value, next.err = s.open(work)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.current = next
	return next
}

// leave removes a reader, and what nobody needs any more.
func (s *Shared[T]) leave(joined *version[T], reader *http.ResponseController) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(joined.readers, reader)
	if s.previous != nil && len(s.previous.readers) == 0 {
		s.previous = nil
	}
	if s.gap == 0 && s.previous == nil && s.current != nil && len(s.current.readers) == 0 {
		s.current = nil
	}
	select {
	case s.left <- struct{}{}:
	default: // whoever waits looks again anyway
	}
}
