package endtoend_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// The ports that are published, and what they may be inside.
var (
	publishedPorts = [...]uint16{20010, 20011}
	shiftedPorts   = [...]uint16{8388, 8389}

	publishedKeys = slices.Concat(keysOf(accounting.In, publishedPorts[:]...), keysOf(accounting.Out, publishedPorts[:]...))
)

// network is what IPv4 and IPv6 differ in.
type network struct {
	name, addressType          string
	published, prefix, network string
	proxy, mirror              string
}

var networks = [...]network{
	{"ip", "ipv4_addr", publishedIPv4, "172.30.0.", "172.30.0.0/24", "172.31.0.9:3129", "10.88.0.2"},
	{"ip6", "ipv6_addr", publishedIPv6, "fd30::", "fd30::/64", "[fd31::9]:3129", "fd88::2"},
}

// serverAddresses are all addresses of the server, sorted.
var serverAddresses = []netip.Addr{
	netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.88.0.1"), netip.MustParseAddr("172.30.0.1"), netip.MustParseAddr(publishedIPv4),
	netip.MustParseAddr(publishedIPv6), netip.MustParseAddr("fd30::1"), netip.MustParseAddr("fd77::1"), netip.MustParseAddr("fd88::1"),
}

func (n network) addrPort(p place) netip.AddrPort {
	return netip.MustParseAddrPort(net.JoinHostPort(n.prefix+fmt.Sprint(p.host), fmt.Sprint(p.port)))
}

func keysOf(direction accounting.Direction, ports ...uint16) (keys []accounting.Key) {
	for _, port := range ports {
		keys = append(keys, accounting.Key{Port: port, Protocol: accounting.UDP, Direction: direction})
	}
	return keys
}

// publishingMoves change what is published, and by which rules. What is published
// anew may lose its traffic until the agent has seen the rules, and nothing else.
func publishingMoves() (moves []move) {
	for _, w := range ways {
		moves = append(moves, move{name: "published by " + w.name, until: theRepair, do: func(t *testing.T, a *administrator) {
			t.Helper()
			a.publish(t, a.choose(w))
		}})
	}
	mirroredKeys := []accounting.Key{steadyOut, {Port: publishedPorts[0], Protocol: accounting.UDP, Direction: accounting.Out}}
	mirrored := move{name: "answers mirrored", do: mirror}
	for _, key := range mirroredKeys {
		mirrored.gains = append(mirrored.gains, gain{to: key, of: key})
	}
	return append(moves, mirrored,
		move{name: "unpublished", do: unpublish},
		move{name: "published and unpublished five times", until: theRepair, ticks: 6, do: publishAndUnpublish},
		move{name: "published beside a proxy", until: theRepair, alone: true, ticks: 6, do: publishBesideProxy},
		move{name: "address given to another container", until: theRepair, alone: true, ticks: 6, do: giveAddress},
		move{name: "connections flushed", do: flushConnections},
		move{name: "connections flushed, the container sends first", do: flushConnectionsAndAnswer},
		move{name: "targets named or not", alone: true, needsAgent: true, do: nameTargets},
		move{name: "agent in another namespace and back", alone: true, needsAgent: true, do: visitNamespace},
	)
}

// publish puts a publication in force. Container engines make the kernel forget the
// connections of ports that they publish, and firewalls don't.
func (a *administrator) publish(t *testing.T, next publication) {
	t.Helper()
	counted := make(map[accounting.Target]uint16)      // by place
	if targets, err := a.table.Targets(); err == nil { // else there is no table
		for _, target := range targets {
			counted[placeOf(target)] = target.Port
		}
	}
	// What flows to a place that the agent has not seen is counted when it has, and
	// when that is can't be seen here.
	begin := a.inSeries || a.unattended || a.random.IntN(2) == 0
	for _, target := range next.targets() {
		port, known := counted[placeOf(target)]
		if known && port == target.Port {
			continue
		}
		begin = begin || known // what flows there is the other port's
		for _, direction := range []accounting.Direction{accounting.In, accounting.Out} {
			key, other := keysOf(direction, target.Port)[0], keysOf(direction, port)[0]
			a.moving.keys = append(a.moving.keys, key)
			if known {
				a.moving.gains = append(a.moving.gains, gain{to: other, of: key})
			}
		}
	}
	a.published = next
	if !begin {
		a.nft(t, next.script())
		return
	}
	a.between(t, func() {
		a.nft(t, next.script())
		a.forgetConnections(t)
	})
}

func placeOf(target accounting.Target) accounting.Target {
	target.Port = 0
	return target
}

// between acts while nothing is on its way.
func (a *administrator) between(t *testing.T, act func()) {
	t.Helper()
	a.stream.pause(t)
	act()
	a.stream.resume()
}

// unpublish removes the rules. What flows goes on, unless an agent may look for
// connections later than they end.
func unpublish(t *testing.T, a *administrator) {
	t.Helper()
	a.published = publication{}
	if !a.inSeries && !a.unattended {
		a.nft(t, a.published.script())
		return
	}
	a.between(t, func() {
		a.nft(t, a.published.script())
		a.forgetConnections(t)
	})
}

func publishAndUnpublish(t *testing.T, a *administrator) {
	t.Helper()
	for range 5 {
		a.publish(t, a.choose(ways[a.random.IntN(len(ways))]))
		unpublish(t, a)
	}
	a.between(t, func() { a.forgetConnections(t) }) // the agent may not have seen to where they lead
}

// endPublishing removes the rules after the connections. No target stays that is not
// named.
func (a *administrator) endPublishing(t *testing.T) {
	t.Helper()
	a.published = publication{}
	a.between(t, func() {
		a.forgetConnections(t)
		a.nft(t, a.published.script())
	})
	eventually(t, func() error {
		targets, err := a.table.Targets()
		for _, target := range targets {
			target.Protocol = accounting.UDP // named are both
			if !slices.Contains(a.named.targets(), target) {
				return fmt.Errorf("port %d is still counted at %s", target.Port, target)
			}
		}
		return err
	})
}

// giveAddress gives the address and port of a container to one of the other port.
func giveAddress(t *testing.T, a *administrator) {
	t.Helper()
	host := 2 + a.random.IntN(2)
	given, other := []place{{host, shiftedPorts[0]}}, []place{{5 - host, shiftedPorts[0]}}
	a.publish(t, publication{ways[1], [...][]place{given, {{host, shiftedPorts[1]}}}})
	a.letAgentLook(t)
	a.publish(t, publication{ways[1], [...][]place{other, given}})
}

// letAgentLook waits until the agent has seen what is published, if there is one.
func (a *administrator) letAgentLook(t *testing.T) {
	t.Helper()
	if !a.unattended {
		eventually(t, func() error { return a.wrong(t) })
	}
}

// publishBesideProxy adds a rule for what containers send to others, and removes it.
// The agent then counts by connection entries, too.
func publishBesideProxy(t *testing.T, a *administrator) {
	t.Helper()
	next := a.choose(withProxy)
	a.publish(t, next)
	a.letAgentLook(t)
	next.way = ways[1]
	a.publish(t, next)
}

func flushConnections(t *testing.T, a *administrator) {
	t.Helper()
	if a.published.way.name == "" { // a late answer would begin what nobody publishes
		a.between(t, func() { a.forgetConnections(t) })
		return
	}
	a.forgetConnections(t)
}

// flushConnectionsAndAnswer makes an entry that begins on the side of the container.
func flushConnectionsAndAnswer(t *testing.T, a *administrator) {
	t.Helper()
	a.between(t, func() {
		a.forgetConnections(t)
		a.stream.answerFirst(a.required())
	})
}

// mirror copies answers to another network for a while. The kernel sends a copy
// past output, where it can't be told from what it is a copy of.
func mirror(t *testing.T, a *administrator) {
	t.Helper()
	var add, remove strings.Builder
	for _, n := range networks {
		fmt.Fprintf(&add, "table %s mirror { chain postrouting { type filter hook postrouting priority 0; udp sport { %d, %d } dup to %s device \"spare\"; }; }\n",
			n.name, steadyPort, publishedPorts[0], n.mirror)
		fmt.Fprintf(&remove, "add table %[1]s mirror\ndelete table %[1]s mirror\n", n.name)
	}
	a.nft(t, add.String())
	a.pass(administratorInterval)
	a.nft(t, remove.String())
}

// nameTargets starts the agent with a target that is named, or without.
func nameTargets(t *testing.T, a *administrator) {
	t.Helper()
	if a.named.places[0] != nil {
		a.named = publication{}
	} else {
		a.named = publication{places: [...][]place{{{2 + a.random.IntN(2), publishedPorts[0]}}, nil}}
	}
	a.flags = slices.Clone(a.ownFlags)
	for _, target := range a.named.targets() {
		a.flags = append(a.flags, "--port", fmt.Sprintf("%d@%s", target.Port, target.Address))
	}
	a.restart(t)
}

// visitNamespace runs the agent in another network namespace with the same state,
// as a pair of servers does in turn.
func visitNamespace(t *testing.T, a *administrator) {
	t.Helper()
	end := func(running agent) {
		if a.random.IntN(2) == 0 {
			running.stop(t)
		} else {
			running.kill()
		}
	}
	end(a.agent)
	there := a.product
	there.namespace = a.elsewhere
	visitor := there.startAgent(t, a.flags...)
	visitor.waitSaying(t, "counting")
	a.pass(2 * administratorInterval)
	end(visitor)
	a.agent = a.startAgent(t, a.flags...)
}

// withoutTargets is a move by nft that also takes out what leads to the counters of a
// port where the host forwards: rules may publish all ports of an address.
func withoutTargets(port uint16, lines ...string) func(*testing.T, *administrator) {
	return func(t *testing.T, a *administrator) {
		t.Helper()
		var elements strings.Builder
		targets, err := a.table.Targets()
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range targets {
			if target.Port == port && target.Protocol == accounting.UDP {
				name := networks[0].name
				if target.Address.Addr().Is6() {
					name = networks[1].name
				}
				for _, direction := range []string{"in", "out"} {
					fmt.Fprintf(&elements, "delete element inet ssmonitor forward-%s-%s { %s . udp . %d }\n", name, direction, target.Address.Addr(), target.Address.Port())
				}
			}
		}
		a.nft(t, elements.String()+strings.Join(lines, "\n")+"\n")
	}
}

// required returns the targets that are to be counted, sorted.
func (a *administrator) required() []accounting.Target {
	targets := slices.Concat(a.published.targets(), a.named.targets())
	slices.SortFunc(targets, accounting.Target.Compare)
	return slices.Compact(targets)
}

// verify compares the table with what it should be, by a second socket. It may count
// more targets than those of the rules, as long as connections lead to them.
func (a *administrator) verify() error {
	var last error
	for range 3 {
		targets, err := a.table.Targets()
		if err != nil {
			return err
		}
		slices.SortFunc(targets, accounting.Target.Compare)
		for _, target := range a.required() {
			if !slices.Contains(targets, target) {
				return fmt.Errorf("port %d is not counted at %s", target.Port, target)
			}
		}
		forwarding := accounting.Forwarding{Known: true, Targets: targets}
		if a.published.way.name == withProxy.name {
			forwarding.Addresses = serverAddresses
		}
		a.table.SetForwarding(forwarding)
		findings, err := a.table.Verify(a.ports)
		if len(findings) > 0 && a.published.way.keeps { // a rule for all ports may lead to former targets
			forwarding.Addresses = serverAddresses
			a.table.SetForwarding(forwarding)
			findings, err = a.table.Verify(a.ports)
		}
		if err != nil || len(findings) == 0 {
			return err
		}
		last = errors.New(strings.Join(findings, "; "))
		if now, err := a.table.Targets(); err == nil && len(now) == len(targets) {
			break // else they have changed meanwhile
		}
	}
	return last
}
