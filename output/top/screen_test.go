package top

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"ssmonitor/accounting"
)

// usageAgent answers requests for usage with usage, and has the clients that were
// asked for.
type usageAgent struct {
	Agent
	usage *accounting.UsageReport
	err   error
	asked []string
}

func (a *usageAgent) Usage(_ context.Context, parameters url.Values) (*accounting.UsageReport, error) {
	a.asked = append(a.asked, parameters.Get("client"))
	if a.err != nil {
		return nil, a.err
	}
	return a.usage, nil
}

func TestHoursAreRequestedUntilTheyAreKnown(t *testing.T) {
	today, _ := sampleUsage()
	agent := &usageAgent{usage: today}
	s := &session{Top: &Top{Agent: agent, Now: time.Now}, ctx: t.Context(), model: sampleModel(), answers: make(chan answer)}
	receive := func() {
		t.Helper()
		if !s.pending[hoursRequest] {
			t.Fatal("nothing is requested")
		}
		answer := <-s.answers
		s.pending[answer.kind] = false
		answer.apply(s.model)
	}
	press(s.model, "<down><enter>")
	first, _, _ := s.model.Detail()
	s.requestDetail(true)
	press(s.model, "<escape><down><enter>") // before the answer
	second, _, _ := s.model.Detail()
	s.requestDetail(true)
	receive()
	agent.err = errors.New("not running")
	s.requestDetail(false) // at a refresh
	receive()
	agent.err = nil
	s.requestDetail(false)
	receive()
	if hours := s.model.detail.hours; hours != today || s.model.detail.hoursErr != nil {
		t.Errorf("got the hours %v, %v", hours, s.model.detail.hoursErr)
	}
	if s.requestDetail(false); s.pending[hoursRequest] {
		receive()
	}
	if want := []string{first, second, second}; !slices.Equal(agent.asked, want) {
		t.Errorf("asked for %q, want %q", agent.asked, want)
	}
}
