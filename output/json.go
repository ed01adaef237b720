package output

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"ssmonitor/accounting"
)

// The form of GET /v1/ports. WriteJSON and ReadJSON share it, so that what one
// writes the other reads.
type (
	jsonPort struct {
		Port uint16       `json:"port"`
		Name string       `json:"name"`
		TCP  *jsonTraffic `json:"tcp,omitempty"`
		UDP  *jsonTraffic `json:"udp,omitempty"`
	}
	jsonTraffic struct {
		In  jsonFlow `json:"in"`
		Out jsonFlow `json:"out"`
	}
	jsonFlow struct {
		Bytes            uint64   `json:"bytes"`
		Packets          uint64   `json:"packets"`
		BytesPerSecond   *float64 `json:"bytes_per_second,omitempty"`
		PacketsPerSecond *float64 `json:"packets_per_second,omitempty"`
	}
)

// jsonTime is RFC 3339 with all nine digits of the nanoseconds.
const jsonTime = "2006-01-02T15:04:05.000000000Z07:00"

// WriteJSON writes a report as GET /v1/ports answers it, one line a port,
// through a small buffer: it never holds the whole answer. Rates that are not
// known are left out.
func WriteJSON(w io.Writer, report *accounting.Report) error {
	out := bufio.NewWriterSize(w, 16<<10)
	encoder := json.NewEncoder(out)
	fmt.Fprintf(out, `{"time":%q,"interval_seconds":%v,"total":`,
		report.Time.UTC().Format(jsonTime), report.Interval.Seconds())
	// One of each is enough: a value is written before the next one is made.
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
			line.TCP = tcp.set(&port.TCP, port.Rated)
		}
		if port.Port.Protocols.Has(accounting.UDP) {
			line.UDP = udp.set(&port.UDP, port.Rated)
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

// set takes over the traffic and returns line. The rates stay the report's own.
func (line *jsonTraffic) set(traffic *accounting.Traffic, rated bool) *jsonTraffic {
	line.In.set(&traffic.In, rated)
	line.Out.set(&traffic.Out, rated)
	return line
}

func (line *jsonFlow) set(flow *accounting.Flow, rated bool) {
	*line = jsonFlow{Bytes: flow.Total.Bytes, Packets: flow.Total.Packets}
	if rated {
		line.BytesPerSecond, line.PacketsPerSecond = &flow.Rate.Bytes, &flow.Rate.Packets
	}
}

// maxJSON bounds what ReadJSON takes, in bytes: 65,535 ports with both
// protocols and a name each stay well below.
const maxJSON = 64 << 20

// ReadJSON reads what [WriteJSON] wrote. It takes no more than 64 MiB, ports
// only in ascending order, each once, and passes over keys that it does not
// know. The report's Interval is exact to the nanosecond for intervals below
// 50 days; its Time has no monotonic part.
func ReadJSON(r io.Reader) (*accounting.Report, error) {
	return readJSON(r, maxJSON)
}

func readJSON(r io.Reader, most int64) (*accounting.Report, error) {
	limited := &io.LimitedReader{R: r, N: most}
	decoder := json.NewDecoder(limited)
	report, err := readReport(decoder)
	if err == nil {
		// What follows the object, were it only a part, is not ours.
		if _, err = decoder.Token(); err == nil {
			err = errors.New("more follows after the report")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if limited.N <= 0 {
		err = fmt.Errorf("longer than %d bytes", most)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ports as JSON, at byte %d: %w", decoder.InputOffset(), err)
	}
	return report, nil
}

func readReport(decoder *json.Decoder) (*accounting.Report, error) {
	report := &accounting.Report{}
	var listed bool
	err := readObject(decoder, func(key string) error {
		switch key {
		case "time":
			return decoder.Decode(&report.Time)
		case "interval_seconds":
			return readInterval(decoder, &report.Interval)
		case "total":
			var total jsonTraffic
			err := decoder.Decode(&total)
			report.Total, _ = fromJSON(&total)
			return err
		case "ports":
			listed = true
			return readPorts(decoder, report)
		}
		var unknown json.RawMessage
		return decoder.Decode(&unknown)
	})
	switch {
	case err != nil:
		return nil, err
	case report.Time.IsZero():
		return nil, errors.New("the report has no time")
	case !listed:
		return nil, errors.New("the report has no list of ports")
	}
	return report, nil
}

func readInterval(decoder *json.Decoder, interval *time.Duration) error {
	var seconds float64
	if err := decoder.Decode(&seconds); err != nil {
		return err
	}
	const longest = math.MaxInt64 / int64(time.Second)
	if seconds < 0 || seconds > float64(longest) {
		return fmt.Errorf("interval_seconds is %v, expected 0 to %d", seconds, longest)
	}
	*interval = time.Duration(math.Round(seconds * float64(time.Second)))
	return nil
}

func readPorts(decoder *json.Decoder, report *accounting.Report) error {
	if err := expect(decoder, '['); err != nil {
		return err
	}
	var last uint16
	for decoder.More() {
		var line jsonPort
		if err := decoder.Decode(&line); err != nil {
			return fmt.Errorf("the entry after port %d: %w", last, err)
		}
		// Port 0 is not a port, and an ascending list ends by itself.
		if line.Port <= last {
			return fmt.Errorf("port %d follows %d, expected ascending numbers", line.Port, last)
		}
		last = line.Port
		report.Ports = append(report.Ports, line.report())
	}
	return expect(decoder, ']')
}

// report is the inverse of what WriteJSON makes of a port.
func (line *jsonPort) report() accounting.PortReport {
	port := accounting.PortReport{
		Port:  accounting.Port{Number: line.Port, Name: line.Name},
		Rated: line.TCP != nil || line.UDP != nil,
	}
	var rated bool
	if line.TCP != nil {
		port.Port.Protocols |= accounting.OnlyTCP
		port.TCP, rated = fromJSON(line.TCP)
		port.Rated = port.Rated && rated
	}
	if line.UDP != nil {
		port.Port.Protocols |= accounting.OnlyUDP
		port.UDP, rated = fromJSON(line.UDP)
		port.Rated = port.Rated && rated
	}
	return port
}

// fromJSON also tells whether all rates are there.
func fromJSON(line *jsonTraffic) (traffic accounting.Traffic, rated bool) {
	rated = true
	flow := func(line *jsonFlow) accounting.Flow {
		flow := accounting.Flow{Total: accounting.Count{Packets: line.Packets, Bytes: line.Bytes}}
		if line.BytesPerSecond == nil || line.PacketsPerSecond == nil {
			rated = false
			return flow
		}
		flow.Rate = accounting.Rate{Packets: *line.PacketsPerSecond, Bytes: *line.BytesPerSecond}
		return flow
	}
	return accounting.Traffic{In: flow(&line.In), Out: flow(&line.Out)}, rated
}

// readObject reads an object and calls field after each key, to read the
// value.
func readObject(decoder *json.Decoder, field func(key string) error) error {
	if err := expect(decoder, '{'); err != nil {
		return err
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		if err := field(fmt.Sprint(key)); err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
	}
	return expect(decoder, '}')
}

func expect(decoder *json.Decoder, expected json.Delim) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != expected {
		return fmt.Errorf("found %v, expected %v", token, expected)
	}
	return nil
}
