package connections

import (
	"strconv"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/throttle"
)

// ParseLimits reads how many distinct addresses may be connected to a port at the same
// time before a warning: NUMBER for every port, or CLIENT=NUMBER for those of one client.
// The number 0, or "none", stands for no limit.
func ParseLimits(texts []string) (usage.Limits, error) {
	return usage.ParseList("addresses", "alice=5", texts, parseAddressLimit)
}

func parseAddressLimit(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	if text == "none" {
		return 0, nil
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, &accounting.InvalidError{Name: "number", Text: text, Want: "a number of addresses, such as 3, or none"}
	}
	return number, nil
}

const (
	// addressTime is how long a port has to be over its limit, or no longer over
	// it, to be reported. A client that moves from one network to another has two
	// addresses for a while.
	addressTime = time.Minute
	// addressGap is the time between two counts. It bounds what the watch costs
	// where the agent's interval is short.
	addressGap = 10 * time.Second
)

// Watch finds the ports to which more addresses are connected than their
// limits allow, for a minute or longer. It is not safe for concurrent use.
type Watch struct {
	limits usage.Limits
	meter  *Meter
	now    func() time.Time

	gap   throttle.Gap
	ports map[uint16]addressState // those that are over their limit, or were
}

// addressState is what the watch knows of one port.
type addressState struct {
	over  bool      // as it was reported last
	since time.Time // when the port began to differ from that; zero: it does not
}

// NewWatch returns a watch that counts with the meter. If now is nil, it
// uses time.Now.
func NewWatch(limits usage.Limits, meter *Meter, now func() time.Time) *Watch {
	if now == nil {
		now = time.Now
	}
	return &Watch{limits: limits, meter: meter, now: now, gap: throttle.Gap{Least: addressGap}}
}

// SetLimits replaces the limits.
func (w *Watch) SetLimits(limits usage.Limits) { w.limits = limits }

// Check counts the connections of the report's ports, if there is a limit and
// the last count was 10 seconds ago, and returns the ports that have been over
// their limit for a minute, each once, and those that no longer are.
func (w *Watch) Check(report *accounting.Report) (crossed []usage.Crossing) {
	if w.limits.Any() {
		w.gap.Do(w.now, func() { crossed = w.count(report.Ports) })
	}
	return crossed
}

// count counts anew. Ports that are no longer counted, or have no limit, are forgotten.
func (w *Watch) count(ports []accounting.PortReport) (crossed []usage.Crossing) {
	now, before := w.now(), w.ports
	w.ports = make(map[uint16]addressState)
	w.meter.visit(ports, func(i int, connections accounting.Connections) {
		number, client := ports[i].Port.Number, usage.ClientOf(ports[i].Port.Name, ports[i].Port.Number)
		limit, limited := w.limits.For(client)
		if !limited {
			return
		}
		addresses := uint64(connections.Addresses)
		state, due := before[number].next(now, connections.Known, addresses > limit)
		if state != (addressState{}) {
			w.ports[number] = state
		}
		if due {
			crossed = append(crossed, usage.Crossing{Client: client, Port: number, Used: addresses, Limit: limit, Over: state.over})
		}
	})
	return crossed
}

// next returns the state after a count, and whether it is due to be reported, having been
// the same for long enough.
func (s addressState) next(now time.Time, known, over bool) (next addressState, due bool) {
	switch {
	case !known || over == s.over:
		s.since = time.Time{}
	case s.since.IsZero() || now.Before(s.since):
		s.since = now
	case now.Sub(s.since) >= addressTime:
		return addressState{over: over}, true
	}
	return s, false
}
