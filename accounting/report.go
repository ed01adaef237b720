package accounting

import "time"

// Rate is packets and bytes per second.
type Rate struct {
	Packets float64
	Bytes   float64
}

// Flow is one direction of a port's traffic.
type Flow struct {
	Total Count // of all time
	Rate  Rate  // over the last complete interval
}

// Traffic is both directions of one protocol, or of all of them.
type Traffic struct {
	In, Out Flow
}

// PortReport is the traffic of one port.
type PortReport struct {
	Port     Port
	TCP, UDP Traffic // zero if Port.Protocols does not include the protocol
	// Rated reports whether the rates are known: the port was read at both ends
	// of the last interval.
	Rated bool
}

// Sum returns TCP and UDP together.
func (p PortReport) Sum() Traffic {
	return Traffic{In: p.TCP.In.plus(p.UDP.In), Out: p.TCP.Out.plus(p.UDP.Out)}
}

func (f Flow) plus(other Flow) Flow {
	return Flow{
		Total: f.Total.Plus(other.Total),
		Rate:  Rate{f.Rate.Packets + other.Rate.Packets, f.Rate.Bytes + other.Rate.Bytes},
	}
}

// Report is what the outputs publish.
type Report struct {
	Time     time.Time     // of the reading that the totals are from
	Interval time.Duration // that the rates are over; 0: no rate is known yet
	Total    Traffic       // of all ports; its totals include removed ports
	Ports    []PortReport  // sorted by number
}
