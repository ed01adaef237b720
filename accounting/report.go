package accounting

import "time"

// Rate is packets and bytes per second.
type Rate struct {
	Packets float64
	Bytes   float64
}

// Flow is one direction of a port's traffic: the total of all time and the
// rate over the last whole interval.
type Flow struct {
	Total Count
	Rate  Rate
}

// Traffic is both directions of one protocol, or of all of them.
type Traffic struct {
	In, Out Flow
}

// PortReport is what is known of one port. TCP and UDP are zero where
// Port.Protocols does not have them.
type PortReport struct {
	Port     Port
	TCP, UDP Traffic
	// Rated says that the rates are known: the port was read at both ends of
	// the last interval.
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
	Time     time.Time     // of the reading that the totals stand for
	Interval time.Duration // over which the rates are; 0: no rate is known yet
	Total    Traffic       // all ports, those that are gone included in its totals
	Ports    []PortReport  // sorted by number
}
