package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ssmonitor/accounting"
	"ssmonitor/internal/terminal"
)

// A port in the response to GET /v1/ports. WriteReport and ReadReport share these types, so
// that they agree on the format.
type (
	jsonPort struct {
		Port uint16       `json:"port"`
		Name string       `json:"name"`
		TCP  *jsonTraffic `json:"tcp,omitempty"`
		UDP  *jsonTraffic `json:"udp,omitempty"`
		// Of TCP; both or none.
		Connections *int32 `json:"connections,omitempty"`
		Addresses   *int32 `json:"addresses,omitempty"`
	}
	jsonTraffic struct {
		In  jsonFlow `json:"in"`
		Out jsonFlow `json:"out"`
	}
	jsonFlow struct {
		Bytes            *uint64  `json:"bytes"` // an agent tells those of both directions, or neither
		Packets          uint64   `json:"packets"`
		BytesPerSecond   *float64 `json:"bytes_per_second,omitempty"`
		PacketsPerSecond *float64 `json:"packets_per_second,omitempty"`
	}
)

// jsonTime is RFC 3339, always with nine digits of nanoseconds.
const jsonTime = "2006-01-02T15:04:05.000000000Z07:00"

// WriteReport writes a report as the response to GET /v1/ports, one line per port.
// It writes through a small buffer and never holds the whole response. Unknown
// rates and connections are omitted.
func WriteReport(w io.Writer, report *accounting.Report) error {
	out := bufio.NewWriterSize(w, 16<<10)
	encoder := terminal.NewJSONEncoder(out)
	fmt.Fprintf(out, `{"time":%q,"interval_seconds":%v,"total":`,
		report.Time.UTC().Format(jsonTime), report.Interval.Seconds())
	// One of each is enough: each value is written before the next one is set.
	var tcp, udp jsonTraffic
	if err := encoder.Encode(tcp.set(&report.Total, report.Interval > 0)); err != nil {
		return fmt.Errorf("writing the total as JSON: %w", err)
	}
	fmt.Fprint(out, `,"ports":[`)
	var line jsonPort
	for i := range report.Ports {
		if i > 0 {
			fmt.Fprint(out, ",")
		}
		port := &report.Ports[i]
		line = jsonPort{Port: port.Port.Number, Name: port.Port.Name}
		if port.Port.Protocols.Has(accounting.TCP) {
			line.TCP = tcp.set(&port.TCP, port.RatesKnown)
		}
		if port.Port.Protocols.Has(accounting.UDP) {
			line.UDP = udp.set(&port.UDP, port.RatesKnown)
		}
		if port.Connections.Known {
			line.Connections, line.Addresses = &port.Connections.Established, &port.Connections.Addresses
		}
		if err := encoder.Encode(&line); err != nil {
			return fmt.Errorf("writing port %d as JSON: %w", line.Port, err)
		}
	}
	fmt.Fprint(out, "]}\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the ports as JSON: %w", err)
	}
	return nil
}

// set fills line with the traffic and returns it. line points to the rates of
// the report instead of copying them.
func (line *jsonTraffic) set(traffic *accounting.Traffic, ratesKnown bool) *jsonTraffic {
	line.In.set(&traffic.In, ratesKnown)
	line.Out.set(&traffic.Out, ratesKnown)
	return line
}

func (line *jsonFlow) set(flow *accounting.Flow, ratesKnown bool) {
	*line = jsonFlow{Bytes: &flow.Total.Bytes, Packets: flow.Total.Packets}
	if ratesKnown {
		line.BytesPerSecond, line.PacketsPerSecond = &flow.Rate.Bytes, &flow.Rate.Packets
	}
}

// maxJSON limits the size of what ReadReport reads. A report of 65,535 ports with
// both protocols takes about 30 MB.
const maxJSON = 64 << 20

// ReadReport reads what [WriteReport] has written, at most 64 MiB of it. Ports must
// be in ascending order; unknown keys are ignored. The report's Interval is
// exact to the nanosecond for intervals below 50 days. Its Time has no monotonic
// part.
func ReadReport(r io.Reader) (*accounting.Report, error) {
	return readReport(r, maxJSON)
}

func readReport(r io.Reader, limit int64) (*accounting.Report, error) {
	limited := &io.LimitedReader{R: r, N: limit}
	decoder := json.NewDecoder(limited)
	report, err := decodeReport(decoder)
	if err == nil {
		// Nothing may follow the object, not even a part of a value.
		if _, err = decoder.Token(); err == nil {
			err = errors.New("unexpected data after the report")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if limited.N <= 0 {
		err = fmt.Errorf("longer than %d bytes", limit)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ports as JSON: %w", err)
	}
	return report, nil
}
