package shadowsocks

import (
	"net"
	"slices"
	"strings"

	"ssmonitor/accounting"
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
	for _, fallback := range settings.at("fallbacks").onlyObjects() {
		destination := node{value: &fallback}.at("dest")
		if destination.is(kindText) || destination.is(kindNumber) {
			leads = append(leads, c.leadsTo(destination.scalar)...)
		}
	}
	if protocol = strings.ToLower(protocol); protocol == "dokodemo-door" || protocol == "tunnel" {
		host, port := settings.at("address").or(settings.at("rewriteAddress")), settings.at("port").or(settings.at("rewritePort"))
		if name, err := host.text(); err == nil && port.value != nil { // without a name, localhost
			leads = append(leads, c.leadsTo(net.JoinHostPort(name, port.scalar))...)
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
	host, port := splitEndpoint(destination)
	if port == "" {
		host, port = "", destination
	}
	number, err := parsePort("", port)
	if err != nil || !c.options.Host.isLocal(host) {
		return nil
	}
	return []lead{{port: number}}
}

// addRoutes adds where rules lead, by an outbound to another inbound. V2Ray serves the
// clients of v2ray-plugin like that: dokodemo-door to freedom to Shadowsocks.
func (c *collector) addRoutes(inbounds []inbound, root node) {
	leads := make(map[string][]lead) // by the tags of outbounds
	for _, entry := range root.at("outbounds").onlyObjects() {
		outbound := node{value: &entry}
		tag := outbound.at("tag")
		if !tag.is(kindText) {
			continue
		}
		if socket, err := socketOf(outbound.at("streamSettings")); err == nil && socket != "" {
			leads[tag.scalar] = append(leads[tag.scalar], lead{socket: socket})
		}
		if redirect := outbound.at("settings").at("redirect"); redirect.is(kindText) {
			leads[tag.scalar] = append(leads[tag.scalar], c.leadsTo(redirect.scalar)...)
		}
	}
	routed := make(map[string][]lead) // by the tags of inbounds
	for _, entry := range root.at("routing").at("rules").onlyObjects() {
		rule := node{value: &entry}
		to := rule.at("outboundTag")
		tags, err := rule.at("inboundTag").each()
		for _, tag := range tags {
			if err == nil && tag.is(kindText) && to.is(kindText) {
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
}

// behind returns the inbounds that are counted on the ports of each front.
func (c *collector) behind(inbounds []inbound) (map[int][]int, error) {
	s := frontSearch{inbounds: inbounds, fronts: make(map[lead][]int), ranges: make(map[int][]portRange)}
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
		if len(s.leads) == 0 || !c.counts(in) {
			continue
		}
		outer, err := s.outermost(i, map[int]bool{i: true})
		if err != nil {
			return nil, err
		}
		for _, front := range outer {
			behind[front] = append(behind[front], i)
		}
	}
	return behind, nil
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
		ranges, _ = readRanges(&collector{}, in.port)
		s.ranges[of] = ranges
	}
	s.steps += len(ranges)
	return slices.ContainsFunc(ranges, func(r portRange) bool { return r.first <= to.port && to.port <= r.last })
}

// outermost returns the fronts of an inbound to which clients connect. Those that were
// seen are left out, since fronts could lead to each other.
func (s *frontSearch) outermost(of int, seen map[int]bool) (outer []int, err error) {
	const maxSteps = 1 << 18
	for _, lead := range s.leads {
		if s.steps++; s.steps > maxSteps {
			return nil, &ValueError{s.inbounds[of].place, "behind too many others", "fewer inbounds that hand over to others"}
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
			further, err := s.outermost(front, seen)
			if err != nil {
				return nil, err
			}
			outer = append(outer, further...)
			if len(further) == 0 || !s.inbounds[front].isInner() {
				outer = append(outer, front)
			}
		}
	}
	return outer, nil
}
