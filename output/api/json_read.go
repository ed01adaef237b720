package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"ssmonitor/accounting"
)

// decodeReport reads an answer to GET /v1/ports, port by port: the whole of it would take
// much more memory than the report.
func decodeReport(decoder *json.Decoder) (*accounting.Report, error) {
	const maxSeconds = math.MaxInt64 / int64(time.Second)
	var at time.Time
	var seconds float64
	var total accounting.Traffic
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
			var line jsonTraffic
			if err = decoder.Decode(&line); err == nil {
				if total, _, err = line.traffic(); err != nil {
					err = fmt.Errorf("total: %w", err)
				}
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
	return &accounting.Report{
		Time:     at,
		Interval: time.Duration(math.Round(seconds * float64(time.Second))),
		Total:    total,
		Ports:    ports,
	}, nil
}

// report returns one port, of which WriteReport makes the line.
func (line *jsonPort) report() (accounting.PortReport, error) {
	port := accounting.PortReport{Port: accounting.Port{Number: line.Port, Name: line.Name}, RatesKnown: true}
	switch connections, addresses := line.Connections, line.Addresses; {
	case (connections == nil) != (addresses == nil), connections != nil && (*connections < 0 || *addresses < 0):
		return port, errors.New("want connections and addresses from 0 on, both or none")
	case connections != nil:
		port.Connections = accounting.Connections{Known: true, Established: *connections, Addresses: *addresses}
	}
	for _, protocol := range [...]struct {
		line    *jsonTraffic
		only    accounting.Protocols
		traffic *accounting.Traffic
	}{{line.TCP, accounting.OnlyTCP, &port.TCP}, {line.UDP, accounting.OnlyUDP, &port.UDP}} {
		if protocol.line == nil {
			continue
		}
		if (protocol.line.In.Bytes == nil) != (protocol.line.Out.Bytes == nil) {
			return port, errors.New("want the bytes of both directions")
		}
		traffic, ratesKnown, err := protocol.line.traffic()
		if err != nil {
			return port, err
		}
		if protocol.line.In.Bytes != nil { // otherwise the protocol is not counted
			port.Port.Protocols |= protocol.only
			*protocol.traffic = traffic
			port.RatesKnown = port.RatesKnown && ratesKnown
		}
	}
	port.RatesKnown = port.RatesKnown && port.Port.Protocols != 0
	return port, nil
}

func (line *jsonTraffic) traffic() (traffic accounting.Traffic, ratesKnown bool, err error) {
	in, inKnown, err := line.In.flow()
	if err != nil {
		return traffic, false, err
	}
	out, outKnown, err := line.Out.flow()
	return accounting.Traffic{In: in, Out: out}, inKnown && outKnown, err
}

// flow returns one direction. Its rates are known if both are there.
func (line *jsonFlow) flow() (flow accounting.Flow, ratesKnown bool, err error) {
	const maxRate = 1e18 // beyond every link; with it, sums of rates stay finite
	flow.Total.Packets = line.Packets
	if line.Bytes != nil {
		flow.Total.Bytes = *line.Bytes
	}
	for _, rate := range [...]*float64{line.BytesPerSecond, line.PacketsPerSecond} {
		if rate != nil && (*rate < 0 || *rate > maxRate) {
			return flow, false, errors.New("want rates from 0 to 1e18 per second")
		}
	}
	if ratesKnown = line.BytesPerSecond != nil && line.PacketsPerSecond != nil; ratesKnown {
		flow.Rate = accounting.Rate{Packets: *line.PacketsPerSecond, Bytes: *line.BytesPerSecond}
	}
	return flow, ratesKnown, nil
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
	var last uint16
	for decoder.More() {
		var line jsonPort
		if err := decoder.Decode(&line); err != nil {
			return nil, err
		}
		if line.Port <= last { // also refuses port 0
			return nil, fmt.Errorf("port %d after port %d: want ascending numbers", line.Port, last)
		}
		port, err := line.report()
		if err != nil {
			return nil, fmt.Errorf("port %d: %w", line.Port, err)
		}
		last = line.Port
		ports = append(ports, port)
	}
	return ports, expect(decoder, json.Delim(']'), "the end of the list of ports")
}
