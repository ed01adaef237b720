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
			if err = decoder.Decode(&total); err == nil && !total.ratesValid() {
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
	return &accounting.Report{
		Time:     at,
		Interval: time.Duration(math.Round(seconds * float64(time.Second))),
		Total:    total.traffic(),
		Ports:    ports,
	}, nil
}

// maxRate is beyond every link. With it, sums of rates stay finite.
const (
	maxRate   = 1e18
	wantRates = "want rates from 0 to 1e18 per second"
)

// ratesValid reports whether the rates are valid, or omitted.
func (line *jsonTraffic) ratesValid() bool {
	for _, rate := range []*float64{
		line.In.BytesPerSecond, line.In.PacketsPerSecond, line.Out.BytesPerSecond, line.Out.PacketsPerSecond,
	} {
		if rate != nil && (*rate < 0 || *rate > maxRate) {
			return false
		}
	}
	return true
}

// check returns what is wrong with the values of a port.
func (line *jsonPort) check() error {
	switch connections, addresses := line.Connections, line.Addresses; {
	case (connections == nil) != (addresses == nil), connections != nil && (*connections < 0 || *addresses < 0):
		return errors.New("want connections and addresses from 0 on, both or none")
	}
	for _, traffic := range []*jsonTraffic{line.TCP, line.UDP} {
		switch {
		case traffic == nil:
		case (traffic.In.Bytes == nil) != (traffic.Out.Bytes == nil):
			return errors.New("want the bytes of both directions")
		case !traffic.ratesValid():
			return errors.New(wantRates)
		}
	}
	return nil
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
		if err := line.check(); err != nil {
			return nil, fmt.Errorf("port %d: %w", line.Port, err)
		}
		last = line.Port
		ports = append(ports, line.report())
	}
	return ports, expect(decoder, json.Delim(']'), "the end of the list of ports")
}
