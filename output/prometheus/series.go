package prometheus

import (
	"bufio"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// seriesWriter writes the metrics of ports and clients in the text format of
// Prometheus or in OpenMetrics. Values are whole numbers, of which every digit is
// written.
type seriesWriter struct {
	out         *bufio.Writer // keeps its first error
	openMetrics bool
	names       bool
	labels      []byte // of the current port
}

// metricFamily is a metric with labels.
type metricFamily struct{ name, kind, help string }

var (
	portBytes = metricFamily{"ssmonitor_port_bytes_total", "counter",
		"Bytes from the IP header up that clients sent to the port (in) and that the port sent (out). With a name, since that client has the port."}
	portPackets = metricFamily{"ssmonitor_port_packets_total", "counter",
		"Packets, as the kernel sees them, that clients sent to the port (in) and that the port sent (out)."}
	portConnections = metricFamily{"ssmonitor_port_connections", "gauge",
		"Established TCP connections to the port. Ports of UDP alone and of containers have no value."}
	portAddresses = metricFamily{"ssmonitor_port_addresses", "gauge",
		"Distinct addresses from which clients are connected to the port over TCP."}
	portAddressLimit = metricFamily{"ssmonitor_port_addresses_limit", "gauge",
		"Distinct addresses that may be connected to the port at the same time, for longer than a minute, before a warning."}
	monthBytes = metricFamily{"ssmonitor_port_month_bytes", "gauge",
		"Bytes that the client of the port has used on it in the running month of this server's calendar."}
	monthLimit = metricFamily{"ssmonitor_client_month_limit_bytes", "gauge",
		"Bytes, in and out together, that the client may use in a month before a warning. Clients without a name have their port."}
	monthStart = metricFamily{"ssmonitor_month_start_timestamp_seconds", "gauge",
		"When the running month of this server's calendar began."}
)

// begin writes the comments that precede the samples of a metric.
func (w *seriesWriter) begin(family metricFamily) {
	name := family.name
	if w.openMetrics && family.kind == "counter" {
		name = strings.TrimSuffix(name, "_total")
	}
	for _, part := range [...]string{"# HELP ", name, " ", family.help, "\n# TYPE ", name, " ", family.kind, "\n"} {
		_, _ = w.out.WriteString(part)
	}
}

// setLabels sets the labels that identify a port or client. Port 0 and an empty name are
// empty labels, which are the same to Prometheus as none. Both are of forgotten clients.
func (w *seriesWriter) setLabels(port uint16, name string) {
	w.labels = append(w.labels[:0], `{port="`...)
	if port > 0 {
		w.labels = strconv.AppendUint(w.labels, uint64(port), 10)
	}
	w.labels = append(w.labels, '"')
	if w.names {
		if port == 0 && name == "" {
			name = usage.Forgotten.Label()
		}
		escaped := labelEscapes.Replace(strings.ToValidUTF8(name, "\uFFFD"))
		w.labels = append(append(append(w.labels, `,name="`...), escaped...), '"')
	}
}

// labelEscapes replace what the formats can't have in a value.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sample writes a sample with the current labels and further ones, which begin
// with a comma.
func (w *seriesWriter) sample(family metricFamily, further string, value uint64) {
	_, _ = w.out.WriteString(family.name)
	_, _ = w.out.Write(w.labels)
	_, _ = w.out.WriteString(further)
	_, _ = w.out.WriteString("} ")
	_, _ = w.out.Write(append(strconv.AppendUint(w.out.AvailableBuffer(), value, 10), '\n'))
}

const (
	labelIn  = `,direction="in"`
	labelOut = `,direction="out"`
)

func (w *seriesWriter) ports(report *accounting.Report) {
	w.flows(report, portBytes, func(count accounting.Count) uint64 { return count.Bytes })
	w.flows(report, portPackets, func(count accounting.Count) uint64 { return count.Packets })
}

// flows writes a counter of each port. With the names of clients it is that of the
// present one, and begins at 0 with it.
func (w *seriesWriter) flows(report *accounting.Report, family metricFamily, of func(accounting.Count) uint64) {
	used := func(flow accounting.Flow) uint64 {
		if w.names {
			return of(flow.Total) - min(of(flow.Earlier), of(flow.Total))
		}
		return of(flow.Total)
	}
	w.begin(family)
	for i := range report.Ports {
		port := &report.Ports[i]
		w.setLabels(port.Port.Number, port.Port.Name)
		if port.Port.Protocols.Has(accounting.TCP) {
			w.sample(family, `,proto="tcp"`+labelIn, used(port.TCP.In))
			w.sample(family, `,proto="tcp"`+labelOut, used(port.TCP.Out))
		}
		if port.Port.Protocols.Has(accounting.UDP) {
			w.sample(family, `,proto="udp"`+labelIn, used(port.UDP.In))
			w.sample(family, `,proto="udp"`+labelOut, used(port.UDP.Out))
		}
	}
}

// connections writes who is connected, and the limits, where they are known.
func (w *seriesWriter) connections(report *accounting.Report, limits usage.Limits) {
	w.gauge(report, portConnections, func(port *accounting.PortReport) (int32, bool) {
		return port.Connections.Established, port.Connections.Known
	})
	w.gauge(report, portAddresses, func(port *accounting.PortReport) (int32, bool) {
		return port.Connections.Addresses, port.Connections.Known
	})
	w.gauge(report, portAddressLimit, func(port *accounting.PortReport) (int32, bool) {
		limit, limited := limits.For(usage.ClientOf(port.Port.Name, port.Port.Number))
		return int32(limit), limited && port.Port.ConnectionsVisible()
	})
}

// gauge writes a value per port that has one, and nothing if none has.
func (w *seriesWriter) gauge(report *accounting.Report, family metricFamily, of func(*accounting.PortReport) (int32, bool)) {
	begun := false
	for i := range report.Ports {
		port := &report.Ports[i]
		value, known := of(port)
		if !known {
			continue
		}
		if !begun {
			w.begin(family)
			begun = true
		}
		w.setLabels(port.Port.Number, port.Port.Name)
		w.sample(family, "", uint64(value))
	}
}

// portClient is a port and the client that has it or had it.
type portClient struct {
	port uint16
	name string
}

func (a portClient) compare(b portClient) int {
	return cmp.Or(cmp.Compare(a.port, b.port), strings.Compare(a.name, b.name))
}

// month writes the usage of the month and the limits of the clients that have a
// port or used anything.
func (w *seriesWriter) month(month *usage.Month, report *accounting.Report, limits usage.Limits) {
	w.begin(monthStart)
	_, _ = w.out.WriteString(monthStart.name + " ")
	_, _ = w.out.Write(append(strconv.AppendInt(w.out.AvailableBuffer(), month.Start.Unix(), 10), '\n'))

	type sum struct{ in, out uint64 }
	used := make(map[portClient]sum)
	var clients []portClient
	for i := range month.Rows {
		row := &month.Rows[i]
		client := portClient{row.Port, row.Client}
		clients = append(clients, client)
		if !w.names {
			client.name = ""
		}
		before := used[client]
		used[client] = sum{before.in + row.In.Bytes, before.out + row.Out.Bytes}
	}
	w.begin(monthBytes)
	for _, client := range slices.SortedFunc(maps.Keys(used), portClient.compare) {
		w.setLabels(client.port, client.name)
		w.sample(monthBytes, labelIn, used[client].in)
		w.sample(monthBytes, labelOut, used[client].out)
	}
	if report != nil {
		for i := range report.Ports {
			clients = append(clients, portClient{report.Ports[i].Port.Number, report.Ports[i].Port.Name})
		}
	}
	w.limits(clients, limits)
}

func (w *seriesWriter) limits(clients []portClient, limits usage.Limits) {
	if !limits.Any() {
		return
	}
	ids := make(map[usage.ClientID]bool)
	for _, client := range clients {
		ids[usage.ClientOf(client.name, client.port)] = true
	}
	w.begin(monthLimit)
	for _, id := range slices.SortedFunc(maps.Keys(ids), func(a, b usage.ClientID) int {
		return portClient{a.Port, a.Name}.compare(portClient{b.Port, b.Name})
	}) {
		if limit, limited := limits.For(id); limited && (id.Name == "" || w.names) {
			w.setLabels(id.Port, id.Name)
			w.sample(monthLimit, "", limit)
		}
	}
}
