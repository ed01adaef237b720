package shadowsocks

import (
	"net"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// lead is where an inbound hands connections over on this host: a port, or a unix
// socket.
type lead struct {
	port   uint16
	socket string
}

// leadsOf returns where the fallbacks of VLESS and Trojan lead, and dokodemo-door:
// https://xtls.github.io/en/config/features/fallback.html.
func (c *collector) leadsOf(protocol string, settings node) (leads []lead) {
	for fallback := range settings.at("fallbacks").onlyObjects() {
		destination := fallback.at("dest")
		if destination.is(kindText) || destination.is(kindNumber) {
			leads = append(leads, c.leadsTo(destination.scalar)...)
		}
	}
	if protocol = strings.ToLower(protocol); protocol == "dokodemo-door" || protocol == "tunnel" {
		host, port := settings.at("address").or(settings.at("rewriteAddress")), settings.at("port").or(settings.at("rewritePort"))
		if (host.value == nil || host.kind == kindText) && port.value != nil { // without a name, localhost
			leads = append(leads, c.leadsTo(net.JoinHostPort(host.word(), port.scalar))...)
		}
	}
	return leads
}

// leadsTo returns where a destination leads, if that is on this host: a port, with or
// without an address, or a unix socket.
func (c *collector) leadsTo(destination string) []lead {
	if isSocket(destination) {
		return []lead{{socket: destination}}
	}
	host, port := endpoint.Split(destination)
	if port == "" {
		host, port = "", destination
	}
	number, err := accounting.ParsePort(port)
	if err != nil || !c.options.Host.isLocal(host) {
		return nil
	}
	return []lead{{port: number}}
}

// addRoutes adds where rules lead, by an outbound to another inbound. V2Ray serves the
// clients of v2ray-plugin like that: dokodemo-door to freedom to Shadowsocks.
func (c *collector) addRoutes(inbounds []inbound, root node) {
	leads := make(map[string][]lead) // by the tags of outbounds
	for outbound := range root.at("outbounds").onlyObjects() {
		tag := outbound.at("tag")
		if !tag.is(kindText) {
			continue
		}
		if socket := socketOf(outbound.at("streamSettings")); socket != "" {
			leads[tag.scalar] = append(leads[tag.scalar], lead{socket: socket})
		}
		if redirect := outbound.at("settings").at("redirect"); redirect.is(kindText) {
			leads[tag.scalar] = append(leads[tag.scalar], c.leadsTo(redirect.scalar)...)
		}
	}
	routed := make(map[string][]lead) // by the tags of inbounds
	for rule := range root.at("routing").at("rules").onlyObjects() {
		to := rule.at("outboundTag")
		for _, tag := range rule.at("inboundTag").each() {
			if tag.is(kindText) && to.is(kindText) {
				routed[tag.scalar] = append(routed[tag.scalar], leads[to.scalar]...)
			}
		}
	}
	for i := range inbounds {
		if tag := inbounds[i].tag; tag != "" {
			inbounds[i].leads = append(inbounds[i].leads, routed[tag]...)
		}
	}
}

// frontSearch finds what is before inbounds.
type frontSearch struct {
	inbounds []inbound
	leads    []lead         // each once
	fronts   map[lead][]int // by where they lead
	ranges   map[int][]portRange
	steps    int // which a hostile file could make endless
	mistakes *mistakes
}

// behind returns the inbounds that are counted on the ports of each front.
func (c *collector) behind(inbounds []inbound) map[int][]int {
	s := frontSearch{inbounds: inbounds, fronts: make(map[lead][]int), ranges: make(map[int][]portRange), mistakes: &c.mistakes}
	for i, in := range inbounds {
		for _, lead := range in.leads {
			if len(s.fronts[lead]) == 0 {
				s.leads = append(s.leads, lead)
			}
			s.fronts[lead] = append(s.fronts[lead], i)
		}
	}
	behind := make(map[int][]int)
	for i, in := range inbounds {
		if len(s.leads) == 0 || !c.counts(in) || c.mistakes.first != nil {
			continue
		}
		for _, front := range s.outermost(i, map[int]bool{i: true}) {
			behind[front] = append(behind[front], i)
		}
	}
	return behind
}

// isAt reports whether a lead leads to an inbound. None does if its ports can't be read,
// which whoever adds them reports.
func (s *frontSearch) isAt(of int, to lead) bool {
	in := s.inbounds[of]
	if to.socket != "" {
		return in.socket == to.socket
	}
	if in.port.value == nil || !in.protocols.Has(accounting.TCP) {
		return false
	}
	ranges, known := s.ranges[of]
	if !known {
		ranges = readRanges(&collector{}, in.port.with(nil))
		s.ranges[of] = ranges
	}
	s.steps += len(ranges)
	return slices.ContainsFunc(ranges, func(r portRange) bool { return r.first <= to.port && to.port <= r.last })
}

// outermost returns the fronts of an inbound to which clients connect. Those that were
// seen are left out, since fronts could lead to each other.
func (s *frontSearch) outermost(of int, seen map[int]bool) (outer []int) {
	const maxSteps = 1 << 18
	for _, lead := range s.leads {
		if s.steps++; s.steps > maxSteps {
			s.mistakes.add(&ValueError{s.inbounds[of].place, "behind too many others", "fewer inbounds that hand over to others"})
			return nil
		}
		if !s.isAt(of, lead) {
			continue
		}
		for _, front := range s.fronts[lead] {
			s.steps++
			if seen[front] {
				continue
			}
			seen[front] = true
			further := s.outermost(front, seen)
			outer = append(outer, further...)
			if len(further) == 0 || !s.inbounds[front].isInner() {
				outer = append(outer, front)
			}
		}
	}
	return outer
}
