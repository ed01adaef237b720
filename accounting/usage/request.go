package usage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ssmonitor/accounting"
)

// Request asks for a report as people write it on the command line or in
// the parameters of an HTTP request. An empty field selects the default.
type Request struct {
	By             string // hour, day, week, month or total
	Since, Until   string // a month, a day or a time
	Last           string // such as 7d or yesterday, instead of Since and Until
	Top            string // how many clients to show
	Sort           string // usage, name, in or out
	Clients, Ports []string
	Course         bool // also return the periods of a chart
}

// ReadRequest reads a request from the options of `ssmonitor usage`, or from the parameters
// of GET /v1/usage, which have the same names: one returns the value of a name, or "", and
// all those of a name that may be repeated.
func ReadRequest(one func(name string) string, all func(name string) []string) Request {
	return Request{
		By: one("by"), Since: one("since"), Until: one("until"), Last: one("last"),
		Clients: all("client"), Ports: all("port"), Top: one("top"), Sort: one("sort"),
	}
}

// RequestError is a mistake in a request.
type RequestError struct{ err error }

func (e *RequestError) Error() string { return e.err.Error() }
func (e *RequestError) Unwrap() error { return e.err }

// plan is a parsed request.
type plan struct {
	query    Query
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
		p.query.By = r.defaultBy()
	}
	s = c.widen(s, p.query.By)
	p.query.Since, p.query.Until = s.since, s.until
	return p, nil
}

// defaultBy is the total of the requested time. Without one that is the current month, as
// it was recorded, even under another month day.
func (r Request) defaultBy() Period {
	if r.unbounded() {
		return ByMonth
	}
	return ByTotal
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
func NewReport(ctx context.Context, history History, request Request, limits Limits, now time.Time) (report *Report, err error) {
	err = history.View(ctx, func(recorded Snapshot) (err error) {
		report, err = newReport(recorded, request, limits, now)
		return err
	})
	var mistake *RequestError
	switch {
	case err == nil:
		return report, nil
	case errors.As(err, &mistake):
		return nil, mistake
	}
	// Without the usage its zone is unknown, too. Most mistakes are ones in every zone, and
	// whoever asks can correct them first.
	if _, wrong := request.plan(Calendar{now.Location(), 1}, now); wrong != nil {
		return nil, &RequestError{wrong}
	}
	return nil, err
}

func newReport(recorded Snapshot, request Request, limits Limits, now time.Time) (*Report, error) {
	calendar := recorded.Calendar()
	now = now.In(calendar.Zone)
	plan, err := request.plan(calendar, now)
	if err != nil {
		return nil, &RequestError{err}
	}
	if err := plan.selectClients(recorded, request.Clients); err != nil {
		return nil, err
	}
	usage, err := plan.records(recorded)
	if err != nil {
		return nil, err
	}
	report := plan.report(usage, now)
	if err := plan.addLimits(recorded, report, limits); err != nil {
		return nil, err
	}
	if request.Course {
		err = plan.addCourse(recorded, report)
	}
	return report, err
}

// records answers the query. A week is the sum of its days.
func (p *plan) records(recorded Snapshot) (*Records, error) {
	if p.query.By != ByWeek {
		return recorded.Usage(p.query)
	}
	days := p.query
	days.By = ByDay
	records, err := recorded.Usage(days)
	if err != nil {
		return nil, err
	}
	for i := range records.Rows {
		row := &records.Rows[i]
		row.Start, row.End = p.calendar.Bounds(ByWeek, row.Start)
	}
	return records, nil
}

// selectClients selects the clients with the labels, and checks that they and the
// selected ports exist. A port's number stands for its client without a name.
func (p *plan) selectClients(recorded Snapshot, labels []string) error {
	if len(labels)+len(p.query.Ports) == 0 {
		return nil
	}
	clients, err := recorded.Clients()
	if err != nil {
		return err
	}
	ports := make(map[uint16]bool)
	for _, client := range clients {
		ports[client.Port] = true
	}
	for _, port := range p.query.Ports {
		if !ports[port] {
			return &RequestError{fmt.Errorf("port %d was never counted: see ssmonitor client list", port)}
		}
	}
	for _, label := range labels {
		selected, err := Find(clients, label)
		if err != nil {
			return err
		}
		p.query.Clients = append(p.query.Clients, selected...)
	}
	return nil
}

// report computes the report from the usage.
func (p *plan) report(usage *Records, now time.Time) *Report {
	report := &Report{
		By: p.query.By, Since: p.query.Since, Until: p.query.Until, Now: now, Sort: p.order,
		Calendar: p.calendar,
		Periods:  periodsOf(usage.Rows), Whole: whole(usage.Rows), Gaps: usage.Gaps,
	}
	for i := range report.Periods {
		report.Periods[i].arrange(p.order, p.top)
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

// addLimits adds the limits of the months that the report touches. A limit
// applies to all of a client's ports and the whole month, whatever the report
// shows.
func (p *plan) addLimits(recorded Snapshot, report *Report, limits Limits) error {
	if !limits.Any() {
		return nil
	}
	months := p.calendar.widen(span{p.query.Since, p.query.Until}, ByMonth)
	usage, err := recorded.Usage(Query{By: ByMonth, Since: months.since, Until: months.until, Clients: p.query.Clients})
	if err != nil {
		return err
	}
	report.Limits, report.over = limitStates(usage.Rows, limits), make(map[ClientID][]LimitState)
	for _, state := range report.Limits {
		if state.Over() {
			report.over[state.Client] = append(report.over[state.Client], state)
		}
	}
	return nil
}

// A chart has one bar per hour for up to four days, one per day for up to a
// quarter of a year, and otherwise one per month.
const (
	maxHourBars = 4 * 24 * time.Hour
	maxDayBars  = 92 * 24 * time.Hour
)

// addCourse adds the periods of a chart over the time of the report.
func (p *plan) addCourse(recorded Snapshot, report *Report) error {
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
	usage, err := recorded.Usage(query)
	if err != nil {
		return err
	}
	course := periodsOf(usage.Rows)
	for i := range course {
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
