package top

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"ssmonitor/internal/sockdiag"
	"ssmonitor/output/api"
)

// detail is the view of one client.
type detail struct {
	label     string
	first     int        // line at the top of the window
	hours     *api.Usage // of today; nil until the agent answers
	hoursErr  error
	remotes   []sockdiag.Remote // nil: not known
	remoteErr error
}

// openDetail opens the view of the selected client, or of the first one.
func (m *model) openDetail() action {
	row := max(0, m.row())
	if row >= len(m.rows) {
		return actionNone
	}
	m.selected = m.rows[row].label
	m.detail = &detail{label: m.selected}
	return actionDetail
}

func (m *model) pressInDetail(key string) {
	switch key {
	case "q", keyEscape, keyEnter, keyBackspace, keyLeft:
		m.detail = nil
	default:
		m.detail.first, _ = m.scrolled(key, m.detail.first, unlimited)
	}
}

// unlimited is more than a view has lines or columns.
const unlimited = 1 << 30

// openedClient returns the label of the client in the detail view, and its ports whose
// connections can be seen.
func (m *model) openedClient() (label string, ports []uint16, open bool) {
	if m.detail == nil {
		return "", nil, false
	}
	if c := m.client(m.detail.label); c != nil {
		for _, port := range c.ports {
			if port.Connections.Known {
				ports = append(ports, port.Port.Number)
			}
		}
	}
	return m.detail.label, ports, true
}

// observeHours takes the client's usage of today by hour.
func (m *model) observeHours(label string, hours *api.Usage, err error) {
	if m.detail != nil && m.detail.label == label && !errors.Is(err, context.Canceled) {
		m.detail.hours, m.detail.hoursErr = hours, err
	}
}

// observeRemotes takes the addresses that are connected to the client's ports,
// in any order. An address on several ports is one.
func (m *model) observeRemotes(label string, remotes []sockdiag.Remote, err error) {
	if m.detail == nil || m.detail.label != label || m.paused {
		return
	}
	sum := make(map[netip.Addr]int)
	for _, remote := range remotes {
		sum[remote.Address] += remote.Connections
	}
	m.detail.remotes, m.detail.remoteErr = make([]sockdiag.Remote, 0, len(sum)), err
	for address, connections := range sum {
		m.detail.remotes = append(m.detail.remotes, sockdiag.Remote{Address: address, Connections: connections})
	}
	slices.SortFunc(m.detail.remotes, func(a, b sockdiag.Remote) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), a.Address.Compare(b.Address))
	})
}

// hoursAt returns the client's hours of today. They are unknown when the day is
// over, until the agent answers for the next one.
func (d *detail) hoursAt(now time.Time) (hours []api.UsagePeriod, known bool) {
	if d.hours == nil || d.hoursErr != nil || !now.Before(d.hours.Until) {
		return nil, false
	}
	return d.hours.Periods, true
}
