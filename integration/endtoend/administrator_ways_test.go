package endtoend_test

import (
	"fmt"
	"strings"

	"ssmonitor/accounting"
)

// way is a form of rules that publish ports.
type way struct {
	name     string
	keeps    bool // the ports, and has one container for all
	balances bool // between both containers

	// Of the table. A line with PORT is there for each port, and leads to ADDRESS
	// and INSIDE, together TARGET; of those that balance, also to OTHER.
	text string
}

const (
	nspawnMap = `map map_port_ipport { type inet_proto . inet_service : ADDRESSTYPE . inet_service; elements = {
		udp . PORT : ADDRESS . INSIDE,
	}; }
	`
	addressMap = `map targets { type ADDRESSTYPE . inet_service : ADDRESSTYPE . inet_service; elements = {
		PUBLISHED . PORT : ADDRESS . INSIDE,
	}; }
	`
	services = `chain service-PORT { counter; meta l4proto udp dnat to TARGET; }
	`
	endpoints = `chain endpoint1-PORT { meta l4proto udp dnat to TARGET; }
	chain endpoint2-PORT { meta l4proto udp dnat to OTHER; }
	`
)

// ways are those in use, by engines and by administrators.
var ways = []way{
	{name: "a rule per port", text: prerouting("udp dport PORT dnat to TARGET")},
	{name: "Docker", text: dockerChain + prerouting(`fib daddr type local counter jump DOCKER`)},
	{name: "systemd-nspawn", text: nspawnMap + prerouting("fib daddr type local dnat FAMILY addr . port to meta l4proto . th dport map @map_port_ipport")},
	{name: "concatenated set", text: prerouting("FAMILY daddr . udp dport { PUBLISHED . PORT } dnat to TARGET")},
	{name: "map of addresses", text: addressMap + prerouting("dnat FAMILY addr . port to FAMILY daddr . udp dport map @targets")},
	{name: "jump", text: services + prerouting("udp dport PORT jump service-PORT")},
	{name: "verdict map", text: services + `map verdicts { type inet_service : verdict; elements = {
		PORT : goto service-PORT,
	}; }
	` + prerouting("DESTINATION udp dport vmap @verdicts")},
	{name: "numgen", balances: true, text: endpoints + `chain service-PORT { numgen random mod 2 vmap { 0 : jump endpoint1-PORT, 1 : goto endpoint2-PORT }; }
	` + prerouting("udp dport PORT jump service-PORT")},
	{name: "all ports but one", keeps: true, text: prerouting("DESTINATION udp dport != 22 dnat to ADDRESS")},
	{name: "all ports but a set", keeps: true, text: prerouting("DESTINATION udp dport != { 22, 80 } dnat to ADDRESS")},
	{name: "no port", keeps: true, text: prerouting("DESTINATION dnat to ADDRESS")},
	{name: "the rest", keeps: true, text: prerouting("udp dport { 20000, 20001, 22 } accept", "tcp dport 22 accept", "DESTINATION dnat to ADDRESS")},
	{name: "mark", text: `chain mangle { type filter hook prerouting priority mangle;
		DESTINATION udp dport PORT meta mark set PORT
	}
	` + prerouting("meta mark PORT meta l4proto udp dnat to TARGET")},
}

const dockerChain = `chain DOCKER {
		iifname "bridge0" counter return
		udp dport PORT counter dnat to TARGET
		tcp dport PORT counter dnat to TARGET
	}
	`

// withProxy is Docker's form beside a rule for what containers send to others.
var withProxy = way{name: "Docker, beside a proxy", text: dockerChain + prerouting(
	`iifname "bridge0" udp dport PORT dnat to PROXY`, `fib daddr type local counter jump DOCKER`)}

func prerouting(rules ...string) string {
	return "chain prerouting { type nat hook prerouting priority dstnat;\n\t\t" + strings.Join(rules, "\n\t\t") + "\n\t}\n"
}

// publication is which rules publish the ports, and where to.
type publication struct {
	way    way // without a name: none
	places [len(publishedPorts)][]place
}

// place is the address of a container, by its last number, and a port.
type place struct {
	host int
	port uint16
}

// targets returns the targets of the ports over both networks.
func (p publication) targets() (targets []accounting.Target) {
	for i, places := range p.places {
		for _, place := range places {
			for _, n := range networks {
				targets = append(targets, accounting.Target{Protocol: accounting.UDP, Address: n.addrPort(place), Port: publishedPorts[i]})
			}
		}
	}
	return targets
}

// script returns what puts the publication in force in place of another one. The
// containers are hidden behind the host's address.
func (p publication) script() string {
	var script strings.Builder
	for _, n := range networks {
		fmt.Fprintf(&script, "add table %[1]s engine\ndelete table %[1]s engine\nadd table %[1]s hide\ndelete table %[1]s hide\n", n.name)
		fmt.Fprintf(&script, "table %[1]s hide { chain postrouting { type nat hook postrouting priority srcnat; oifname != \"bridge0\" %[1]s saddr %[2]s snat to %[3]s; }; }\n",
			n.name, n.network, n.published)
		if p.way.name != "" {
			fmt.Fprintf(&script, "table %s engine {\n\t%s}\n", n.name, p.expand(n))
		}
	}
	return script.String()
}

func (p publication) expand(n network) string {
	var text strings.Builder
	for line := range strings.Lines(p.way.text) {
		for i, port := range publishedPorts {
			first, last := p.places[i][0], p.places[i][len(p.places[i])-1]
			text.WriteString(strings.NewReplacer(
				"ADDRESSTYPE", n.addressType, "DESTINATION", n.name+" daddr "+n.published, "PUBLISHED", n.published,
				"ADDRESS", n.addrPort(first).Addr().String(), "TARGET", n.addrPort(first).String(), "OTHER", n.addrPort(last).String(),
				"INSIDE", fmt.Sprint(first.port), "PORT", fmt.Sprint(port), "FAMILY", n.name, "PROXY", n.proxy,
			).Replace(line))
			if !strings.Contains(line, "PORT") {
				break
			}
		}
	}
	return text.String()
}

// choose chooses where a way leads. A port inside belongs to one of the ports.
func (a *administrator) choose(w way) publication {
	p := publication{way: w}
	host := 2 + a.random.IntN(2)
	for i, port := range publishedPorts {
		switch inside := publishedPorts[i]; {
		case w.keeps:
			p.places[i] = []place{{host, port}}
		default:
			if a.random.IntN(2) == 0 {
				inside = shiftedPorts[i]
			}
			p.places[i] = []place{{2 + a.random.IntN(2), inside}}
			if w.balances {
				p.places[i] = []place{{2, inside}, {3, inside}}
			}
		}
	}
	return p
}
