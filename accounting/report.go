package accounting

import (
	"iter"
	"time"
)

// Rate is packets and bytes per second.
type Rate struct {
	Packets float64
	Bytes   float64
}

// Flow is one direction of a port's traffic.
type Flow struct {
	Total   Count // of all time
	Earlier Count // the part of it that was used before the present client had the port
	Rate    Rate  // over the last complete interval
}

// Traffic is both directions of one protocol, or of all of them.
type Traffic struct {
	In, Out Flow
}

// PortReport is the traffic of one port.
type PortReport struct {
	Port     Port
	TCP, UDP Traffic // zero if Port.Protocols does not include the protocol
	// RatesKnown reports whether the port was read at both ends of the last interval.
	RatesKnown  bool
	Connections Connections
}

// Connections is who is connected to a port over TCP.
type Connections struct {
	// Known is false if nobody has counted, and if the connections of the port
	// can't be seen from here: UDP has none, and those of a published port are in
	// the network namespace of its container.
	Known       bool
	Established int32 // connections in the state ESTABLISHED
	Addresses   int32 // distinct remote IP addresses of these connections
}

// Sum returns TCP and UDP together.
func (p PortReport) Sum() Traffic {
	return Traffic{In: p.TCP.In.plus(p.UDP.In), Out: p.TCP.Out.plus(p.UDP.Out)}
}

// flows returns the counters of the port with their flows.
func (p *PortReport) flows() iter.Seq2[Key, *Flow] {
	return func(yield func(Key, *Flow) bool) {
		for _, protocol := range [...]Protocol{TCP, UDP} {
			if !p.Port.Protocols.Has(protocol) {
				continue
			}
			traffic := &p.TCP
			if protocol == UDP {
				traffic = &p.UDP
			}
			if !yield(Key{p.Port.Number, protocol, In}, &traffic.In) || !yield(Key{p.Port.Number, protocol, Out}, &traffic.Out) {
				return
			}
		}
	}
}

func (f Flow) plus(other Flow) Flow {
	return Flow{Total: f.Total.Plus(other.Total), Earlier: f.Earlier.Plus(other.Earlier), Rate: f.Rate.Plus(other.Rate)}
}

// Plus returns the sum of both rates.
func (r Rate) Plus(other Rate) Rate {
	return Rate{r.Packets + other.Packets, r.Bytes + other.Bytes}
}

// Report is what the outputs publish.
type Report struct {
	Time     time.Time     // of the reading that the totals are from
	Interval time.Duration // that the rates are over; 0: no rate is known yet
	Total    Traffic       // of all ports; its totals include removed ports
	Ports    []PortReport  // sorted by number
}
