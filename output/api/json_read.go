package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"ssmonitor/accounting"
)

// decodeReport reads an answer to GET /v1/ports, port by port: with 1,000 ports,
// memory for the whole of it would take most of the time.
func decodeReport(decoder *json.Decoder) (*accounting.Report, error) {
	const maxSeconds = math.MaxInt64 / int64(time.Second)
	var at time.Time
	var seconds float64
	var total jsonTraffic
	var ports []accounting.PortReport
	listed := false
	if err := expect(decoder, json.Delim('{'), "an object"); err != nil {
		return nil, err
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		switch key {
		case "time":
			err = decoder.Decode(&at)
		case "interval_seconds":
			err = decoder.Decode(&seconds)
		case "total":
			if err = decoder.Decode(&total); err == nil && !total.valid() {
				err = errors.New("total: " + wantRates)
			}
		case "ports":
			listed = true
			ports, err = decodePorts(decoder)
		default: // of a newer agent
			err = decoder.Decode(new(json.RawMessage))
		}
		if err != nil {
			return nil, err
		}
	}
	if err := expect(decoder, json.Delim('}'), "the end of the object"); err != nil {
		return nil, err
	}
	switch {
	case at.IsZero():
		return nil, errors.New("the report has no time")
	case !listed:
		return nil, errors.New("the report has no list of ports")
	case seconds < 0 || seconds > float64(maxSeconds):
		return nil, fmt.Errorf("interval_seconds %v: want 0 to %d", seconds, maxSeconds)
	}
	report := &accounting.Report{
		Time:     at,
		Interval: time.Duration(math.Round(seconds * float64(time.Second))),
		Ports:    ports,
	}
	report.Total, _ = total.traffic()
	return report, nil
}

// maxRate is beyond every link. With it, sums of rates stay finite.
const (
	maxRate   = 1e18
	wantRates = "want rates from 0 to 1e18 per second"
)

// valid reports whether the rates are valid, or omitted.
func (line *jsonTraffic) valid() bool {
	if line == nil {
		return true
	}
	for _, rate := range []*float64{
		line.In.BytesPerSecond, line.In.PacketsPerSecond, line.Out.BytesPerSecond, line.Out.PacketsPerSecond,
	} {
		if rate != nil && (*rate < 0 || *rate > maxRate) {
			return false
		}
	}
	return true
}

// expect reads a token that must be the wanted one.
func expect(decoder *json.Decoder, want json.Delim, name string) error {
	token, err := decoder.Token()
	if err == nil && token != want {
		err = fmt.Errorf("want %s, got %v", name, token)
	}
	return err
}

func decodePorts(decoder *json.Decoder) ([]accounting.PortReport, error) {
	if err := expect(decoder, json.Delim('['), "a list of ports"); err != nil {
		return nil, err
	}
	var ports []accounting.PortReport
	var memory portMemory
	var last uint16
	for decoder.More() {
		line, err := memory.decode(decoder)
		if err != nil {
			return nil, err
		}
		if line.Port <= last { // also refuses port 0
			return nil, fmt.Errorf("port %d after port %d: want ascending numbers", line.Port, last)
		}
		if !line.counts() {
			return nil, fmt.Errorf("port %d: want connections and addresses from 0 on, both or none", line.Port)
		}
		if !line.TCP.valid() || !line.UDP.valid() {
			return nil, fmt.Errorf("port %d: %s", line.Port, wantRates)
		}
		last = line.Port
		ports = append(ports, line.report())
	}
	return ports, expect(decoder, json.Delim(']'), "the end of the list of ports")
}

// portMemory is what the pointers of a jsonPort point to, for one port after the
// other.
type portMemory struct {
	line                   jsonPort
	tcp, udp               jsonTraffic
	rates                  [8]float64
	connections, addresses int32
}

// decode reads a port, which is valid until the next one is read. Everything that
// is optional has a value beforehand by which its absence is seen.
func (m *portMemory) decode(decoder *json.Decoder) (*jsonPort, error) {
	const absentBytes, absentCount = math.MaxUint64, math.MinInt32
	flow := func(i int) jsonFlow {
		m.rates[i], m.rates[i+1] = math.NaN(), math.NaN()
		return jsonFlow{Bytes: absentBytes, BytesPerSecond: &m.rates[i], PacketsPerSecond: &m.rates[i+1]}
	}
	m.tcp, m.udp = jsonTraffic{flow(0), flow(2)}, jsonTraffic{flow(4), flow(6)}
	m.connections, m.addresses = absentCount, absentCount
	m.line = jsonPort{TCP: &m.tcp, UDP: &m.udp, Connections: &m.connections, Addresses: &m.addresses}
	line := &m.line
	if err := decoder.Decode(line); err != nil {
		return nil, err
	}
	for _, traffic := range []**jsonTraffic{&line.TCP, &line.UDP} {
		if *traffic == nil {
			continue
		}
		switch in, out := (*traffic).In.Bytes == absentBytes, (*traffic).Out.Bytes == absentBytes; {
		case in && out:
			*traffic = nil
			continue
		case in || out:
			return nil, fmt.Errorf("port %d: want the bytes of both directions", line.Port)
		}
		for _, flow := range []*jsonFlow{&(*traffic).In, &(*traffic).Out} {
			if flow.BytesPerSecond != nil && math.IsNaN(*flow.BytesPerSecond) {
				flow.BytesPerSecond = nil
			}
			if flow.PacketsPerSecond != nil && math.IsNaN(*flow.PacketsPerSecond) {
				flow.PacketsPerSecond = nil
			}
		}
	}
	if line.Connections != nil && *line.Connections == absentCount {
		line.Connections = nil
	}
	if line.Addresses != nil && *line.Addresses == absentCount {
		line.Addresses = nil
	}
	return line, nil
}
