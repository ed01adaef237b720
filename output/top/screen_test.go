package top

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/vt"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/output/api"
)

// usageAgent answers requests for usage with usage, and has the clients that were
// asked for.
type usageAgent struct {
	Answers
	usage *api.Usage
	err   error
	asked []string
}

func (a *usageAgent) Usage(_ context.Context, parameters url.Values) (*api.Usage, error) {
	a.asked = append(a.asked, parameters.Get("client"))
	if a.err != nil {
		return nil, a.err
	}
	return a.usage, nil
}

func TestKeyNames(t *testing.T) {
	for key, want := range map[tcell.Key]string{
		tcell.KeyUp: keyUp, tcell.KeyDown: keyDown, tcell.KeyLeft: keyLeft, tcell.KeyRight: keyRight,
		tcell.KeyPgUp: keyPageUp, tcell.KeyPgDn: keyPageDown, tcell.KeyHome: keyHome, tcell.KeyEnd: keyEnd,
		tcell.KeyEnter: keyEnter, tcell.KeyEscape: keyEscape, tcell.KeyBackspace: keyBackspace,
		tcell.KeyCtrlU: keyClear, tcell.KeyCtrlC: keyInterrupt, tcell.KeyCtrlZ: keySuspend,
	} {
		if got := keyName(tcell.NewEventKey(key, "", tcell.ModNone)); got != want {
			t.Errorf("key %d is %q, want %q", key, got, want)
		}
	}
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
	first, _, _ := s.model.openedClient()
	s.requestDetail(true)
	press(s.model, "<esc><down><enter>") // before the answer
	second, _, _ := s.model.openedClient()
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

// returningAgent answers neither a report nor the usage at first.
type returningAgent struct {
	asked  chan<- string
	failed bool // the first report
}

func (a *returningAgent) Report(context.Context) (*accounting.Report, error) {
	a.asked <- "report"
	if !a.failed {
		a.failed = true
		return nil, errors.New("not running")
	}
	return sampleReport(), nil
}

func (a *returningAgent) Problems(context.Context) ([]health.Problem, error) { return nil, nil }

func (a *returningAgent) Usage(context.Context, url.Values) (*api.Usage, error) {
	a.asked <- "usage"
	return nil, errors.New("not running")
}

// TestUsageIsRequestedWhenTheAgentIsBack does not wait for the turn of the usage,
// which is seconds later.
func TestUsageIsRequestedWhenTheAgentIsBack(t *testing.T) {
	screen, err := tcell.NewTerminfoScreenFromTty(vt.NewMockTerm(), tcell.OptNegotiation(false))
	if err == nil {
		err = screen.Init()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Fini()
	ctx, cancel := context.WithTimeout(t.Context(), usageInterval(nil)/2)
	defer cancel()
	asked := make(chan string, 1000)
	s := &session{
		Top:    &Top{Agent: &returningAgent{asked: asked}, Interval: 500 * time.Millisecond, Now: time.Now},
		screen: screen, ctx: ctx, model: newModel(time.Second, true), answers: make(chan answer),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run() }()
	usages := 0
	for usages < 2 {
		select {
		case what := <-asked:
			if what == "usage" {
				usages++
			}
		case err := <-ended:
			t.Fatalf("the usage was requested %d times; run ended with %v", usages, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
