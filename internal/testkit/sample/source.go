package sample

import (
	"context"
	"sync"
	"sync/atomic"

	"ssmonitor/accounting"
)

// Source answers with the reports that the test sets.
type Source struct {
	Mutex  sync.Mutex
	answer func(ctx context.Context) (*accounting.Report, error)
	Asked  atomic.Int64
}

// Report asks the function that the test has set.
func (a *Source) Report(ctx context.Context) (*accounting.Report, error) {
	a.Asked.Add(1)
	a.Mutex.Lock()
	answer := a.answer
	a.Mutex.Unlock()
	return answer(ctx)
}

// Answers sets the function that is asked.
func (a *Source) Answers(answer func(ctx context.Context) (*accounting.Report, error)) {
	a.Mutex.Lock()
	defer a.Mutex.Unlock()
	a.answer = answer
}

// AnswersWith sets what is answered.
func (a *Source) AnswersWith(report *accounting.Report, err error) {
	a.Answers(func(context.Context) (*accounting.Report, error) { return report, err })
}
