package top

import (
	"fmt"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/units"
)

const hourBar = 20 // width of the longest bar

// detailBody returns the lines of the client's view below the head.
func (m *model) detailBody() []textLine {
	c := m.client(m.detail.label)
	body := []textLine{nil, {{" " + m.charset.Text(m.detail.label), styleBold}}}
	if c == nil {
		return append(body, plain(" This client has no port any more."))
	}
	body = append(body, plain(fmt.Sprintf(" in %s/s  out %s/s  today %s  month %s",
		rateText(c.in, c.ratesKnown), rateText(c.out, c.ratesKnown), c.today, c.month)))
	if c.limit.Limit > 0 {
		body = append(body, plain(fmt.Sprintf(" %s of the monthly limit of %s", limitText(c), units.RoundBytes(float64(c.limit.Limit)))))
	}
	if line := m.history.sparkline(c.label, m.shown.at, max(0, m.width-2*margin), m.levels); line != "" {
		body = append(body, textLine{{Text: " "}, {line, styleChart}})
	}
	body = append(body, portLines(c, m.shown.err == nil)...)
	body = append(body, m.remoteLines()...)
	return append(body, m.hourLines(c.today.known)...)
}

// portLines shows the ports by protocol. Numbers are known while the agent answers.
func portLines(c *client, answers bool) []textLine {
	lines := []textLine{nil, {{fmt.Sprintf(" %5s  %-8s %9s %9s %11s %11s %5s %5s", "PORT", "PROTOCOL", "IN/s", "OUT/s", "IN", "OUT", "CONN", "ADDR"), styleBold}}}
	for _, port := range c.ports {
		for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
			if !port.Port.Protocols.Has(protocol) {
				continue
			}
			traffic, connections, addresses := &port.UDP, "", ""
			if protocol == accounting.TCP {
				known := answers && port.Connections.Known
				traffic = &port.TCP
				connections = countText(port.Connections.Established, known)
				addresses = countText(port.Connections.Addresses, known)
			}
			rated := answers && port.RatesKnown
			lines = append(lines, plain(fmt.Sprintf(" %5d  %-8s %9s %9s %11s %11s %5s %5s", port.Port.Number, protocol,
				rateText(traffic.In.Rate, rated), rateText(traffic.Out.Rate, rated),
				amount{traffic.In.Total.Bytes, answers}, amount{traffic.Out.Total.Bytes, answers}, connections, addresses)))
		}
	}
	return lines
}

// remoteLines shows who is connected, while that is known.
func (m *model) remoteLines() []textLine {
	d := m.detail
	_, ports, _ := m.openedClient()
	switch {
	case m.shown.err != nil || len(ports) == 0:
		return nil
	case d.remoteErr != nil:
		return append([]textLine{nil}, faultLines("addresses: "+terminal.Line(d.remoteErr), m.width)...)
	case d.remotes == nil:
		return nil
	case len(d.remotes) == 0:
		return []textLine{nil, plain(" Nobody is connected over TCP.")}
	}
	lines := []textLine{nil, {{fmt.Sprintf(" %-39s %5s", "CONNECTED FROM", "CONN"), styleBold}}}
	for _, remote := range d.remotes {
		lines = append(lines, plain(fmt.Sprintf(" %-39s %5d", remote.Address, remote.Connections)))
	}
	return lines
}

// hourLines shows the hours of today that have usage. If nothing is known of today, they
// are not either.
func (m *model) hourLines(todayKnown bool) []textLine {
	d := m.detail
	if d.hoursErr != nil && m.shown.err == nil {
		return append([]textLine{nil}, faultLines("hours: "+terminal.Line(d.hoursErr), m.width)...)
	}
	hours, known := d.hoursAt(m.shown.at)
	lines := []textLine{nil, {{fmt.Sprintf(" %-5s %9s %9s", "HOUR", "IN", "OUT"), styleBold}}}
	switch {
	case !known || m.shown.err != nil || len(hours) == 0 && !todayKnown:
		return append(lines, plain(" "+unknown))
	case len(hours) == 0:
		return append(lines, plain(" none yet"))
	}
	var largest uint64
	for i := range hours {
		largest = max(largest, hours[i].Total.Bytes)
	}
	for i := range hours {
		h := &hours[i]
		bar := units.Bar(h.Total.Bytes, largest, hourBar)
		if m.levels == ascii {
			bar = strings.Repeat("#", len([]rune(bar)))
		}
		lines = append(lines, textLine{
			{Text: fmt.Sprintf(" %-5s %9s %9s ", h.Start.Format("15:04"), units.Bytes(h.Total.In.Bytes), units.Bytes(h.Total.Out.Bytes))},
			{bar, styleChart},
		})
	}
	return lines
}
