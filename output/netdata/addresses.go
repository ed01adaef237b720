package netdata

import (
	"strconv"

	"ssmonitor/accounting"
)

// addressChart shows from how many addresses clients are connected to a port. It
// is a chart per port, not a dimension: Netdata has no alerts per dimension since
// 1.39 (netdata issues 15472 and 17456), and newer dashboards show all charts of
// the context in one anyway, a line per port.
type addressChart struct {
	chart
	defined bool // as Netdata knows it
}

func newAddressChart(port string) addressChart {
	return addressChart{chart: chart{
		id: "ssmonitor.port_" + port + "_addresses", port: port, title: "Addresses connected to a port", family: "ports",
		units: "addresses", context: "ssmonitor.port_addresses", typ: "line", priority: 60002,
	}}
}

// update appends the number of addresses, preceded by the chart's definition if
// Netdata does not have it, or nothing if the number is unknown.
func (c *addressChart) update(dst []byte, since int64, connections accounting.Connections, label string, seconds int) []byte {
	if !connections.Known {
		c.continuous = false
		return dst
	}
	if !c.defined {
		c.defined = true
		dst = c.begin(dst, label, seconds)
		dst = append(appendCommand(dst, "DIMENSION", "addresses", "addresses", "absolute", "1", "1"), '\n')
	}
	dst = append(dst, "BEGIN '"+c.id+"'"...)
	if c.continuous && since > 0 {
		dst = strconv.AppendInt(append(dst, ' '), since, 10)
	}
	c.continuous = true
	dst = append(dst, "\nSET 'addresses' = "...)
	dst = strconv.AppendInt(dst, int64(connections.Addresses), 10)
	return append(dst, "\nEND\n\n"...)
}

// retire appends that the chart is obsolete, if Netdata has it.
func (c *addressChart) retire(dst []byte, seconds int) []byte {
	if !c.defined {
		return dst
	}
	c.defined, c.continuous = false, false
	return append(c.appendChart(dst, seconds, "obsolete"), '\n')
}
