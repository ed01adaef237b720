package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xrash/smetrics"

	"ssmonitor/accounting"
)

// Source is the recorded usage.
type Source interface {
	Usage(ctx context.Context, query Query) (*Records, error)
	// Clients returns every client that has ever had a port, in no particular
	// order.
	Clients(ctx context.Context) ([]Client, error)
}

// Client is a client of a port, from one time to another.
type Client struct {
	Port  uint16
	Name  string    // empty if the port has no name
	Since time.Time // zero: since the port has been counted
	Until time.Time // zero: it has the port now
}

// Request asks for a report as people write it on the command line or in
// the parameters of an HTTP request. An empty field selects the default.
type Request struct {
	By             string // hour, day, month or total
	Since, Until   string // a month, a day or a time
	Last           string // such as 7d, instead of Since and Until
	Top            string // how many clients to show
	Sort           string // usage, name, in or out
	Clients, Ports []string
	Course         bool // also return the periods of a chart
}

// RequestError is a mistake in a request.
type RequestError struct{ err error }

func (e *RequestError) Error() string { return e.err.Error() }
func (e *RequestError) Unwrap() error { return e.err }

// plan is a parsed request.
type plan struct {
	query    Query
	labels   []string // of the clients asked for
	order    Sort
	top      int
	calendar Calendar
}

// maxTop bounds --top: there are no more ports.
const maxTop = 65535

// plan parses everything except the names of clients.
func (r Request) plan(c Calendar, now time.Time) (plan, error) {
	p := plan{order: SortUsage, calendar: c}
	var err error
	if r.Sort != "" {
		if p.order, err = ParseSort(r.Sort); err != nil {
			return p, err
		}
	}
	if r.Top != "" {
		if p.top, err = strconv.Atoi(r.Top); err != nil || p.top < 1 || p.top > maxTop {
			return p, fmt.Errorf("top %q: want a number from 1 to %d", r.Top, maxTop)
		}
	}
	for _, text := range r.Ports {
		port, err := accounting.ParsePort(text)
		if err != nil {
			return p, err
		}
		p.query.Ports = append(p.query.Ports, port)
	}
	p.labels = slices.Clone(r.Clients)
	if r.By != "" {
		if p.query.By, err = ParsePeriod(r.By); err != nil {
			return p, err
		}
	}
	s, err := r.span(c, now)
	if err != nil {
		return p, err
	}
	if p.query.By == "" {
		p.query.By = ByTotal
		if r.unbounded() {
			p.query.By = ByMonth
		}
	}
	s = c.widen(s, p.query.By)
	p.query.Since, p.query.Until = s.since, s.until
	return p, nil
}

func (r Request) unbounded() bool { return r.Since == "" && r.Until == "" && r.Last == "" }

// span returns the requested time. The default is the current month; for a
// report by hour it is today, and by month or in total all recorded time.
func (r Request) span(c Calendar, now time.Time) (span, error) {
	switch {
	case r.Last != "" && (r.Since != "" || r.Until != ""):
		return span{}, errors.New("last names the whole time: want it without since and until")
	case r.Last != "":
		return c.last(r.Last, now)
	case !r.unbounded():
		return c.between(r.Since, r.Until)
	}
	switch Period(r.By) {
	case ByMonth, ByTotal:
		return span{}, nil
	case ByHour:
		return span{c.start(ByDay, now), c.next(ByDay, now)}, nil
	}
	return span{c.start(ByMonth, now), c.next(ByMonth, now)}, nil
}

// NewReport makes the report that the request asks for. It fails with a
// [RequestError] if the request has a mistake.
func NewReport(ctx context.Context, source Source, request Request, limits Limits, now time.Time) (*Report, error) {
	// A query for no time at all returns the calendar.
	recorded, err := source.Usage(ctx, Query{By: ByMonth, Since: now, Until: now})
	if err != nil {
		if _, mistake := request.plan(Calendar{now.Location(), 1}, now); mistake != nil {
			return nil, &RequestError{mistake} // which is corrected first
		}
		return nil, err
	}
	plan, err := request.plan(Calendar{recorded.Zone, recorded.MonthDay}, now)
	if err != nil {
		return nil, &RequestError{err}
	}
	if err := plan.findSelected(ctx, source); err != nil {
		return nil, err
	}
	usage, err := plan.fetch(ctx, source, plan.query)
	if err != nil {
		return nil, err
	}
	report := plan.report(usage, now)
	if err := plan.addLimits(ctx, source, report, limits); err != nil {
		return nil, err
	}
	if request.Course {
		err = plan.addCourse(ctx, source, report)
	}
	return report, err
}

// findSelected checks that the selected clients and ports exist, and replaces a
// port's number among the clients by its label, "port 20000".
func (p *plan) findSelected(ctx context.Context, source Source) error {
	if len(p.labels)+len(p.query.Ports) == 0 {
		return nil
	}
	clients, err := source.Clients(ctx)
	if err != nil {
		return err
	}
	for _, port := range p.query.Ports {
		if !slices.ContainsFunc(clients, func(client Client) bool { return client.Port == port }) {
			return &RequestError{fmt.Errorf("port %d was never counted: see ssmonitor client list", port)}
		}
	}
	var known []string
	for _, client := range clients {
		known = append(known, ClientUsage{Client: client.Name, Ports: []uint16{client.Port}}.Label())
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for i, label := range p.labels {
		if !slices.Contains(known, label) {
			p.labels[i] = PortPrefix + label // as in --client 20000
		}
		if !slices.Contains(known, p.labels[i]) {
			return &RequestError{unknownClient(label, known)}
		}
	}
	return nil
}

// unknownClient returns an error that suggests the most similar names.
func unknownClient(label string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("client %q: no usage of any client is recorded yet", label)
	}
	distances := make(map[string]int, len(known))
	for _, name := range known {
		distances[name] = smetrics.WagnerFischer(strings.ToLower(label), strings.ToLower(name), 1, 1, 1)
	}
	slices.SortStableFunc(known, func(a, b string) int { return cmp.Compare(distances[a], distances[b]) })
	const most = 3
	return fmt.Errorf("client %q is not known: the nearest of %d are %s; see ssmonitor client list",
		label, len(known), strings.Join(known[:min(most, len(known))], ", "))
}

// fetch queries the source for the clients of the plan. In a query a port's number
// selects both the client without a name on that port and a client that has this
// number as its name. fetch drops the rows of the one that was not asked for.
func (p *plan) fetch(ctx context.Context, source Source, query Query) (*Records, error) {
	query.Clients = nil
	for _, label := range p.labels {
		query.Clients = append(query.Clients, strings.TrimPrefix(label, PortPrefix))
	}
	usage, err := source.Usage(ctx, query)
	if err != nil || len(p.labels) == 0 {
		return usage, err
	}
	selected := *usage
	selected.Rows = slices.DeleteFunc(slices.Clone(usage.Rows), func(row Row) bool {
		return !slices.Contains(p.labels, ClientUsage{Client: row.Client, Ports: []uint16{row.Port}}.Label())
	})
	return &selected, nil
}

// report computes the report from the usage.
func (p *plan) report(usage *Records, now time.Time) *Report {
	report := &Report{
		By: p.query.By, Since: p.query.Since, Until: p.query.Until, Now: now, Sort: p.order,
		Zone: p.calendar.Zone, MonthDay: p.calendar.MonthDay,
		Periods: periodsOf(usage.Rows), Whole: whole(usage.Rows), Gaps: p.gaps(usage.Gaps),
	}
	for i := range report.Periods {
		period := &report.Periods[i]
		period.Start, period.End = period.Start.In(report.Zone), period.End.In(report.Zone)
		report.In, report.Out = report.In.Plus(period.In), report.Out.Plus(period.Out)
		period.arrange(p.order, p.top)
	}
	report.Whole.arrange(p.order, p.top)
	if len(report.Periods) > 0 && p.query.By != ByTotal {
		until := now
		if !p.query.Until.IsZero() && p.query.Until.Before(now) {
			until = p.query.Until
		}
		report.Periods = p.calendar.fill(report.Periods, p.query.By, report.Periods[0].Start, until)
	}
	return report
}

// gaps returns the gaps that touch the time of the report.
func (p *plan) gaps(gaps []Gap) []Gap {
	return slices.DeleteFunc(slices.Clone(gaps), func(gap Gap) bool {
		return gap.Until.Before(p.query.Since) || !p.query.Until.IsZero() && !gap.Since.Before(p.query.Until)
	})
}

// addLimits adds the limits of the months that the report touches. A limit
// applies to all of a client's ports and the whole month, whatever the report
// shows.
func (p *plan) addLimits(ctx context.Context, source Source, report *Report, limits Limits) error {
	if !limits.Any() {
		return nil
	}
	months := p.calendar.widen(span{p.query.Since, p.query.Until}, ByMonth)
	usage, err := p.fetch(ctx, source, Query{By: ByMonth, Since: months.since, Until: months.until})
	if err != nil {
		return fmt.Errorf("comparing usage with the limits: %w", err)
	}
	report.Limits = LimitStates(usage, limits)
	return nil
}

// A chart has one bar per hour for up to four days, one per day for up to a
// quarter of a year, and otherwise one per month.
const (
	maxHourBars = 4 * 24 * time.Hour
	maxDayBars  = 92 * 24 * time.Hour
)

// addCourse adds the periods of a chart over the time of the report.
func (p *plan) addCourse(ctx context.Context, source Source, report *Report) error {
	c := p.calendar
	bounds := p.courseBounds(report)
	if !bounds.since.Before(bounds.until) {
		return nil
	}
	query := p.query
	hourly := p.query.By == ByHour || p.query.By == ByTotal
	switch length := bounds.until.Sub(bounds.since); {
	case hourly && length <= maxHourBars:
		query.By = ByHour
	case length <= maxDayBars:
		query.By = ByDay
	default:
		query.By = ByMonth
	}
	bounds = c.widen(bounds, query.By)
	query.Since, query.Until = bounds.since, bounds.until
	usage, err := p.fetch(ctx, source, query)
	if err != nil {
		return fmt.Errorf("dividing the usage by %s: %w", query.By, err)
	}
	course := periodsOf(usage.Rows)
	for i := range course {
		course[i].Start, course[i].End = course[i].Start.In(c.Zone), course[i].End.In(c.Zone)
		course[i].arrange(SortUsage, 0)
	}
	report.CourseBy, report.Course = query.By, c.fill(course, query.By, bounds.since, bounds.until)
	return nil
}

// courseBounds returns the requested time, without the months before the first
// recorded usage and after the current month.
func (p *plan) courseBounds(report *Report) span {
	if len(report.Whole.Clients) == 0 {
		return span{}
	}
	recorded := p.calendar.widen(span{report.Periods[0].Start, report.Now}, ByMonth)
	if p.query.Since.After(recorded.since) {
		recorded.since = p.query.Since
	}
	if !p.query.Until.IsZero() && p.query.Until.Before(recorded.until) {
		recorded.until = p.query.Until
	}
	return recorded
}
