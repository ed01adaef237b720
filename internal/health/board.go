package health

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ssmonitor/internal/terminal"
)

// Problem is one thing that does not work.
type Problem struct {
	ID      ID
	Level   Level
	Since   time.Time
	Message string // what does not work, and why
	Remedy  string // what to do about it
}

// Board has the problems of a process. Whoever repeats an operation reports each outcome
// to it; whoever publishes what is wrong reads it. It is safe for concurrent use.
type Board struct {
	now func() time.Time
	log *slog.Logger

	mutex   sync.Mutex
	entries []entry // one per kind
}

// entry is the state of the operation of one kind.
type entry struct {
	fault   Fault
	since   time.Time
	message string
}

var logLevels = map[Level]slog.Level{Wrong: slog.LevelError, Note: slog.LevelWarn}

// NewBoard returns a board without problems, with a clock and the log of what changes.
func NewBoard(now func() time.Time, log *slog.Logger) *Board {
	return &Board{now: now, log: log, entries: make([]entry, len(kinds))}
}

// Observe records how the latest attempt of an operation ended, and logs what that
// changes: an error once, and that the operation works again.
func (b *Board) Observe(id ID, err error) FaultChange {
	at := slices.IndexFunc(kinds, func(k kind) bool { return k.id == id })
	b.mutex.Lock()
	defer b.mutex.Unlock()
	e, k := &b.entries[at], &kinds[at]
	failed := e.fault.Failing()
	change := e.fault.Observe(err)
	switch change {
	case FaultRaised:
		if !failed {
			e.since = b.now()
		}
		e.message = k.broken + ": " + terminal.Line(err)
		b.log.Log(context.Background(), logLevels[k.level], k.broken, "error", err, "remedy", k.remedy)
	case FaultCleared:
		b.log.Info(k.repaired)
	case FaultUnchanged:
	}
	return change
}

// Problems returns what is wrong now, the oldest problem first.
func (b *Board) Problems() []Problem {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	problems := []Problem{}
	for i := range b.entries {
		if e := &b.entries[i]; e.fault.Failing() {
			problems = append(problems, Problem{ID: kinds[i].id, Level: kinds[i].level, Since: e.since, Message: e.message, Remedy: kinds[i].remedy})
		}
	}
	slices.SortStableFunc(problems, func(x, y Problem) int { return cmp.Compare(x.Since.UnixNano(), y.Since.UnixNano()) })
	return problems
}

// WithoutNotes returns the problems that need somebody who repairs them.
func WithoutNotes(problems []Problem) []Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool { return p.Level == Note })
}

// Summary returns the first of the problems and the number of the others, as one line;
// nothing if there is none. Notes are not for a line that is always there.
func Summary(problems []Problem) string {
	problems = WithoutNotes(problems)
	if len(problems) == 0 {
		return ""
	}
	line := terminal.Text(problems[0].Message)
	if others := len(problems) - 1; others > 0 {
		line += fmt.Sprintf(", and %d more", others)
	}
	return line + ": see ssmonitor check"
}
