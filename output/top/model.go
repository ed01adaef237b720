package top

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/terminal"
	"ssmonitor/output/api"
)

// model is the state of the live table: what the agent has answered, and what the
// user has selected. Its methods do no input or output.
type model struct {
	host    string
	levels  string // of sparklines
	charset terminal.Charset
	history *history

	latest snapshot // what the agent answered last
	shown  snapshot // the same, unless the user has paused
	paused bool
	rows   []client // of shown, filtered and sorted

	by       int // index of a column
	reversed bool
	filter   string
	typing   bool   // keys go to the filter
	selected string // label of the selected client; empty until the user moves

	width, height int // of the window
	first         int // row at its top
	page          int // rows that it has, or lines of the detail

	help   bool
	detail *detail // nil: the table
}

// snapshot is what is known at one time.
type snapshot struct {
	at           time.Time
	report       *accounting.Report // the last that was read; its rates are unknown if err is set
	err          error
	clients      []client
	today, month *used
	usageErr     error
	problems     []health.Problem // that the agent knows
}

// newModel returns the model for the terminal, which may lack the characters of Unicode
// that sparklines have.
func (t *Top) newModel(unicode bool) *model {
	const maxHost = 20 // leaves room for the rates
	host := t.Charset.Text(t.Host)
	if terminal.Width(host) > maxHost {
		host = terminal.PadRight(host, maxHost)
	}
	m := &model{host: host, charset: t.Charset, levels: ascii, history: newHistory(t.Interval), by: columnOf("r")}
	if unicode {
		m.levels = blocks
	}
	return m
}

// observeReport takes an answer to GET /v1/ports.
func (m *model) observeReport(now time.Time, report *accounting.Report, err error) {
	if errors.Is(err, context.Canceled) {
		return // the program ends
	}
	m.latest.at, m.latest.err = now, err
	if err == nil {
		m.latest.report = report
		m.latest.clients = clientsOf(report)
		m.history.add(now, m.latest.clients)
	} else {
		// What was read last is no longer true; only who there was is kept.
		m.latest.clients = slices.Clone(m.latest.clients)
		for i := range m.latest.clients {
			c := &m.latest.clients[i]
			c.ratesKnown, c.connections, c.addressesAtLeast = false, accounting.Connections{}, false
		}
		m.latest.today, m.latest.month = nil, nil
	}
	m.refresh()
}

// observeUsage takes the answers to GET /v1/usage for today and this month.
func (m *model) observeUsage(now time.Time, today, month *api.Usage, err error) {
	m.latest.today, m.latest.month, m.latest.usageErr = nil, nil, err
	if err == nil && m.latest.err == nil {
		m.latest.today, m.latest.month = usedIn(today, m.latest.clients), usedIn(month, m.latest.clients)
	}
	m.latest.at = now
	m.refresh()
}

// refresh shows the latest snapshot unless the user has paused.
func (m *model) refresh() {
	if m.paused {
		return
	}
	m.shown = m.latest
	m.shown.clients = slices.Clone(m.latest.clients)
	s := &m.shown
	for i := range s.clients {
		c := &s.clients[i]
		c.today, c.month = s.today.of(c, s.at), s.month.of(c, s.at)
		if c.month.known {
			c.limit = s.month.limits[c.label]
		}
	}
	m.arrange()
}

// arrange filters and sorts the rows.
func (m *model) arrange() {
	m.rows = m.rows[:0]
	filter := strings.ToLower(m.filter)
	for _, c := range m.shown.clients {
		if filter == "" || c.matches(filter) {
			m.rows = append(m.rows, c)
		}
	}
	sortClients(m.rows, &columns[m.by], m.reversed)
}

// row returns the place of the selected client among the rows, or -1.
func (m *model) row() int {
	if m.selected == "" {
		return -1
	}
	return slices.IndexFunc(m.rows, func(c client) bool { return c.label == m.selected })
}

// resize fits the model into a window, and scrolls so that the window has the selected
// row. It comes before each view: the lines of the head may have changed.
func (m *model) resize(width, height int) {
	m.width, m.height = width, height
	room := height - 1 - len(m.head(width)) // below the head and above the foot
	if m.detail != nil {
		m.page = max(1, room)
		m.detail.first = max(0, min(m.detail.first, len(m.detailBody())-m.page))
		return
	}
	m.page = max(1, room-1)
	if row := m.row(); row >= 0 {
		m.first = min(m.first, row)
		m.first = max(m.first, row-m.page+1)
	}
	m.first = max(0, min(m.first, len(m.rows)-m.page))
}

// client returns the client with the label, or nil.
func (m *model) client(label string) *client {
	for i := range m.shown.clients {
		if m.shown.clients[i].label == label {
			return &m.shown.clients[i]
		}
	}
	return nil
}
