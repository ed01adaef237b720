package top

import (
	"context"
	"errors"
	"net/url"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/terminal"
	"ssmonitor/output/api"
)

// Answers are those of the agent, as an [api.Client] gives them.
type Answers interface {
	Report(ctx context.Context) (*accounting.Report, error)
	Problems(ctx context.Context) ([]health.Problem, error)
	Usage(ctx context.Context, parameters url.Values) (*api.Usage, error)
}

var _ Answers = (*api.Client)(nil)

// Top shows what an agent publishes.
type Top struct {
	Agent    Answers
	Host     string // name of this host
	Interval time.Duration
	// Remotes returns who is connected to a port. It is nil for users who must
	// not see it.
	Remotes func(port uint16) ([]sockdiag.Remote, error)
	Now     func() time.Time
	Charset terminal.Charset // of the terminal
}

// usageInterval returns how often the usage is requested. The agent reads it from
// its database, for which it needs some milliseconds with 1,000 ports.
func usageInterval(report *accounting.Report) time.Duration {
	const least, most, perPort = 5 * time.Second, time.Minute, 25 * time.Millisecond
	if report == nil {
		return least
	}
	return min(least+time.Duration(len(report.Ports))*perPort, most)
}

const (
	// answerTimeout is how long numbers may be shown while the agent does not
	// answer.
	answerTimeout = 3 * time.Second
	usageTimeout  = 10 * time.Second
)

// report requests the ports, and what the agent knows to be wrong, without notes: nothing if
// it is too old to say so.
func (t *Top) report(ctx context.Context) (*accounting.Report, []health.Problem, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	report, err := t.Agent.Report(ctx)
	if err != nil {
		return nil, nil, err
	}
	problems, err := t.Agent.Problems(ctx)
	if errors.Is(err, api.ErrOldAgent) {
		err = nil
	}
	return report, health.WithoutNotes(problems), err
}

// usage requests the usage of today and of the current month, with the limits.
func (t *Top) usage(ctx context.Context) (today, month *api.Usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	if today, err = t.Agent.Usage(ctx, url.Values{"last": {"1d"}}); err == nil {
		month, err = t.Agent.Usage(ctx, nil)
	}
	return today, month, err
}

// hours requests a client's usage of today by hour.
func (t *Top) hours(ctx context.Context, label string) (*api.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	return t.Agent.Usage(ctx, url.Values{"by": {"hour"}, "client": {label}})
}

// remotes returns who is connected to the ports.
func (t *Top) remotes(ports []uint16) ([]sockdiag.Remote, error) {
	var all []sockdiag.Remote
	for _, port := range ports {
		remotes, err := t.Remotes(port)
		if err != nil {
			return nil, err
		}
		all = append(all, remotes...)
	}
	return all, nil
}
