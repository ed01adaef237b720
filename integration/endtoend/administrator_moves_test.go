package endtoend_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"ssmonitor/accounting"
)

// move is something that an administrator does, and the traffic that it may lose.
type move struct {
	name string
	do   func(t *testing.T, a *administrator)

	// What keys count between from and until is lost. Without keys nothing is.
	keys   []accounting.Key
	from   boundary
	until  boundary
	gains  []gain           // until the repair
	strays []accounting.Key // they may count what isn't of the stream, as ICMPv6
	meets  []accounting.Key // what passes at the repair may meet their chain and ours, or neither
	ticks  int              // that the repair takes; 0: the usual two

	alone      bool // it can't be combined with others
	needsAgent bool
}

// boundary is when a loss begins or ends.
type boundary int

const (
	theMove boundary = iota
	theLastReading
	theNextReading
	theRepair
)

// gain is traffic of one counter that another one may count as well, or that the
// same one may count again.
type gain struct{ to, of accounting.Key }

func (m move) loses(key accounting.Key) bool { return slices.Contains(m.keys, key) }

// The counters that count the traffic.
var (
	steadyIn   = accounting.Key{Port: steadyPort, Protocol: accounting.UDP, Direction: accounting.In}
	steadyOut  = accounting.Key{Port: steadyPort, Protocol: accounting.UDP, Direction: accounting.Out}
	changedIn  = accounting.Key{Port: changedPort, Protocol: accounting.UDP, Direction: accounting.In}
	changedOut = accounting.Key{Port: changedPort, Protocol: accounting.UDP, Direction: accounting.Out}

	// idleKeys count nothing of the traffic.
	idleKeys = []accounting.Key{
		{Port: steadyPort, Protocol: accounting.TCP, Direction: accounting.In},
		{Port: steadyPort, Protocol: accounting.TCP, Direction: accounting.Out},
	}

	allIn      = append([]accounting.Key{steadyIn, changedIn}, keysOf(accounting.In, publishedPorts[:]...)...)
	allOut     = append([]accounting.Key{steadyOut, changedOut}, keysOf(accounting.Out, publishedPorts[:]...)...)
	allKeys    = slices.Concat(allIn, allOut)
	changedAll = []accounting.Key{changedIn, changedOut}
)

func administratorMoves() []move {
	return slices.Concat(harmlessMoves(), additions(), stoppingMoves(), forgettingMoves(), redirections(), publishingMoves())
}

// script is a move by nft.
func script(lines ...string) func(*testing.T, *administrator) {
	return func(t *testing.T, a *administrator) {
		t.Helper()
		a.load(t, strings.Join(lines, "\n")+"\n")
	}
}

// load loads a ruleset. nft may refuse it if another move of the series removed
// what it names. Then it changes nothing.
func (a *administrator) load(t *testing.T, ruleset string) {
	t.Helper()
	if !a.inSeries {
		a.nft(t, ruleset)
		return
	}
	command := a.product.command("nft", "-f", "-")
	command.Stdin = strings.NewReader(ruleset)
	if output, err := command.CombinedOutput(); err != nil {
		a.refused++
		if !strings.Contains(string(output), "Could not process rule") && !strings.Contains(string(output), "No such file or directory") {
			t.Fatalf("nft -f: %v\n%s\nof:\n%s", err, output, ruleset)
		}
	}
}

// harmlessMoves need no repair, or one that loses nothing.
func harmlessMoves() []move {
	return []move{
		{name: "agent killed and started", alone: true, needsAgent: true, do: func(t *testing.T, a *administrator) { a.restart(t) }},
		{name: "tables of others", do: script(
			"table ip theirs { counter c { }; chain input { type filter hook input priority 0; udp dport 20000 counter name c; }; }",
			"delete table ip theirs")},
		{name: "table of our name in another family", do: script(
			"table ip ssmonitor { counter udp-20000-in { packets 5 bytes 500; }; }", "delete table ip ssmonitor")},
		{name: "a thousand commits in a burst", do: burst},
		{name: "comment on the table", do: script("add table inet ssmonitor { comment \"mine\"; }")},
		{name: "comment on a rule", do: commentRule},
		{name: "saved listing on top", do: func(t *testing.T, a *administrator) { a.load(t, a.ruleset(t)) }},
		{name: "saved listing on top, ten times", do: func(t *testing.T, a *administrator) {
			a.load(t, strings.Repeat(a.ruleset(t)+"\n", 10))
		}},
		{name: "own rule appended without accept", alone: true, do: script(
			"add rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in")},
		{name: "chain renamed", alone: true, meets: allIn, do: script("rename chain inet ssmonitor input theirs")},
	}
}

// burst commits a thousand changes to another table.
func burst(t *testing.T, a *administrator) {
	t.Helper()
	a.library(t, func(c *nftables.Conn) error {
		theirs := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "theirs"}
		for range 500 {
			c.AddTable(theirs)
			if err := c.Flush(); err != nil {
				return err
			}
			c.DelTable(theirs)
			if err := c.Flush(); err != nil {
				return err
			}
		}
		return nil
	})
}

// library calls act with a connection to the kernel in the namespace, to do what
// nft has no syntax for.
func (n namespace) library(t *testing.T, act func(*nftables.Conn) error) {
	t.Helper()
	n.within(t, func(namespace *os.File) error {
		c, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(int(namespace.Fd())))
		if err != nil {
			return err
		}
		defer func() { _ = c.CloseLasting() }()
		return act(c)
	})
}

var listedRule = regexp.MustCompile(`(?m)^\t\t(counter name .*@ports-in.*) # handle (\d+)$`)

// commentRule replaces a rule with the same one and a comment.
func commentRule(t *testing.T, a *administrator) {
	t.Helper()
	chain := a.run(t, "nft", "--handle", "list", "chain", "inet", "ssmonitor", "input")
	found := listedRule.FindStringSubmatch(chain)
	if found == nil {
		return // another move has taken it out
	}
	rule, _, _ := strings.Cut(found[1], ` comment "`)
	a.load(t, fmt.Sprintf("replace rule inet ssmonitor input handle %s %s comment \"hello\"\n", found[2], rule))
}

// additions add something foreign to our table. They lose nothing, except for a
// verdict before our rule: theirs drop what is forwarded.
func additions() []move {
	return []move{
		{name: "sets and maps", do: script("table inet ssmonitor {",
			"set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }",
			"set d { type ipv4_addr; flags dynamic, timeout; size 10; }",
			"map m { type ipv4_addr : verdict; elements = { 10.0.0.1 : accept }; }",
			"map c { type inet_service : counter; elements = { 9 : \"udp-20000-in\" }; }", "}")},
		{name: "rule with an anonymous set", do: script(
			"insert rule inet ssmonitor input udp dport { 20000, 20001 } counter",
			"insert rule inet ssmonitor output ip saddr vmap { 10.99.0.1 : accept, 10.99.0.2 : drop }")},
		{name: "rule that counts another way", do: script("insert rule inet ssmonitor input udp dport 20000 counter")},
		{name: "jump to a chain of theirs", do: script("add chain inet ssmonitor theirs",
			"add rule inet ssmonitor theirs udp dport 20000 return", "insert rule inet ssmonitor input jump theirs")},
		{name: "jump in another chain of theirs", keys: publishedKeys, until: theRepair, do: script("add chain inet ssmonitor more { type filter hook forward priority 0; policy drop; }",
			"add chain inet ssmonitor most", "add rule inet ssmonitor more jump most", "add rule inet ssmonitor most udp dport vmap { 9 : accept }")},
		{name: "chains of theirs with hooks", keys: publishedKeys, until: theRepair, do: script("table inet ssmonitor {",
			"chain forward { type filter hook forward priority 0; policy drop; }",
			"chain nat { type nat hook prerouting priority -100; }",
			"chain route { type route hook output priority 0; }",
			"chain lower { type filter hook ingress device \"lo\" priority 0; }", "}")},
		{name: "quota, limit, helper, timeout, synproxy", do: script("table inet ssmonitor {",
			"quota q { over 10 mbytes; }", "limit l { rate 10/second; }",
			"ct helper h { type \"ftp\" protocol tcp; }",
			"ct timeout e { protocol tcp; policy = { established : 100 }; }",
			"synproxy p { mss 1460; wscale 7; }", "}")},
		{name: "quota in use", do: script("add quota inet ssmonitor spent over 10 mbytes",
			"insert rule inet ssmonitor input udp dport 20000 quota name \"spent\" counter")},
		{name: "counter of another name", ticks: 4, do: script("add counter inet ssmonitor theirs { packets 7 bytes 700; }")},
		{name: "counter with leading zeros", ticks: 4, do: script("add counter inet ssmonitor udp-020000-in { packets 7 bytes 700; }")},
		{name: "counters of a port that isn't listed", ticks: 4, do: script(
			"add counter inet ssmonitor udp-20002-in { packets 7 bytes 700; }",
			"add counter inet ssmonitor tcp-20002-out { packets 7 bytes 700; }",
			"add element inet ssmonitor ports-in { udp . 20002 : \"udp-20002-in\" }")},
		{name: "names of odd bytes", ticks: 4, alone: true, do: oddNames}, // nft can't load a listing of them
		{name: "flowtable", do: func(t *testing.T, a *administrator) {
			// The kernel may be built without them.
			command := a.product.command("nft", "add flowtable inet ssmonitor f { hook ingress priority 0; devices = { lo }; }")
			_ = command.Run()
		}},
		// With another move they would count what has lost its element.
		{name: "catch-all element", alone: true, strays: idleKeys, do: script("add element inet ssmonitor ports-in { * : \"tcp-20000-in\" }")},
		{name: "catch-all elements in both maps", alone: true, strays: idleKeys, do: script("add element inet ssmonitor ports-in { * : \"tcp-20000-in\" }",
			"add element inet ssmonitor ports-out { * : \"tcp-20000-out\" }")},
		{name: "elements of other ports and protocols", do: script(
			"add element inet ssmonitor ports-in { udp . 9 : \"udp-20000-in\", sctp . 20000 : \"tcp-20000-in\", udp . 0 : \"udp-20001-in\" }")},
		{name: "policy drop", alone: true, do: script("add chain inet ssmonitor input { policy drop; }")},
	}
}

// oddNames adds objects, sets and chains with names that nft can't spell.
func oddNames(t *testing.T, a *administrator) {
	t.Helper()
	a.library(t, func(c *nftables.Conn) error {
		table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "ssmonitor"}
		for _, name := range []string{"a b", "\"", "line\nend", "\x01\xff", "udp-20000-in ", strings.Repeat("long", 60)} {
			c.AddObj(&nftables.NamedObj{Table: table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{Packets: 7, Bytes: 700}})
			c.AddChain(&nftables.Chain{Table: table, Name: name})
			if err := c.AddSet(&nftables.Set{Table: table, Name: name, KeyType: nftables.TypeInetService}, nil); err != nil {
				return err
			}
		}
		return c.Flush()
	})
}

// stoppingMoves end the counting until the repair, but keep the counters.
func stoppingMoves() []move {
	stop := func(name string, keys []accounting.Key, lines ...string) move {
		return move{name: name, keys: keys, from: theMove, until: theRepair, do: script(lines...)}
	}
	alone := func(m move) move {
		m.alone = true // other moves may remove what it names
		return m
	}
	return []move{
		stop("chain flushed", allIn, "flush chain inet ssmonitor input"),
		stop("table flushed", allKeys, "flush table inet ssmonitor"),
		stop("map flushed", allOut, "flush map inet ssmonitor ports-out"),
		alone(stop("elements deleted", []accounting.Key{steadyIn}, "delete element inet ssmonitor ports-in { udp . 20000, tcp . 20001 }")),
		alone(stop("chain deleted", allIn, "delete chain inet ssmonitor input")),
		alone(stop("all but the counters deleted", allKeys, "flush table inet ssmonitor",
			"delete chain inet ssmonitor input", "delete chain inet ssmonitor output",
			"delete map inet ssmonitor ports-in", "delete map inet ssmonitor ports-out")),
		alone(stop("map of another kind", allIn, "flush chain inet ssmonitor input", "delete map inet ssmonitor ports-in",
			"add map inet ssmonitor ports-in { type inet_service : counter; elements = { 20000 : \"udp-20000-in\" }; }")),
		alone(stop("map with a size", allIn, "flush chain inet ssmonitor input", "delete map inet ssmonitor ports-in",
			"add map inet ssmonitor ports-in { type inet_proto . inet_service : counter; size 1; }")),
		alone(stop("chain at another hook", allIn, "delete chain inet ssmonitor input",
			"add chain inet ssmonitor input { type filter hook forward priority 0; }")),
		alone(stop("chain without a hook", allOut, "delete chain inet ssmonitor output", "add chain inet ssmonitor output")),
		stop("dormant table", allKeys, "add table inet ssmonitor { flags dormant; }"),
		alone(stop("accept before our rule", []accounting.Key{steadyIn}, "insert rule inet ssmonitor input udp dport 20000 accept")),
		alone(stop("goto a chain of theirs", allOut, "add chain inet ssmonitor away", "insert rule inet ssmonitor output goto away")),
		alone(stop("our rule for TCP alone", allIn, "flush chain inet ssmonitor input",
			"add rule inet ssmonitor input meta l4proto tcp counter name meta l4proto . th dport map @ports-in accept")),
	}
}

// forgettingMoves lose what was not read yet.
func forgettingMoves() []move {
	forget := func(name string, keys []accounting.Key, until boundary, do func(*testing.T, *administrator)) move {
		return move{name: name, keys: keys, from: theLastReading, until: until, do: do}
	}
	reset := func(name string, keys []accounting.Key, words ...string) move {
		m := forget(name, keys, theMove, func(t *testing.T, a *administrator) { a.run(t, "nft", words...) })
		m.alone, m.needsAgent = true, true // a counter that outgrows its old value hides the reset
		return m
	}
	replaced := forget("counter replaced by one with a value", []accounting.Key{steadyIn}, theNextReading, withoutTargets(steadyPort,
		"delete element inet ssmonitor ports-in { udp . 20000 }", "delete counter inet ssmonitor udp-20000-in",
		"add counter inet ssmonitor udp-20000-in { packets 100000 bytes 100000000; }",
		"add element inet ssmonitor ports-in { udp . 20000 : \"udp-20000-in\" }"))
	deleted := forget("counters deleted", changedAll, theRepair, withoutTargets(changedPort,
		"delete element inet ssmonitor ports-in { udp . 20001 }", "delete counter inet ssmonitor udp-20001-in",
		"delete element inet ssmonitor ports-out { udp . 20001 }", "delete counter inet ssmonitor udp-20001-out"))
	replaced.alone, deleted.alone = true, true
	return []move{
		reset("all counters reset", allKeys, "reset", "counters"),
		reset("one counter reset", []accounting.Key{changedOut}, "reset", "counter", "inet", "ssmonitor", "udp-20001-out"),
		forget("ruleset flushed", allKeys, theRepair, func(t *testing.T, a *administrator) {
			a.load(t, "flush ruleset\n")
			a.published = publication{}
		}),
		forget("table deleted", allKeys, theRepair, script("add table inet ssmonitor", "delete table inet ssmonitor")),
		forget("saved listing after a flush", allKeys, theRepair, func(t *testing.T, a *administrator) {
			a.load(t, "flush ruleset\n"+a.ruleset(t))
		}),
		forget("saved listing after a flush, twice", allKeys, theRepair, func(t *testing.T, a *administrator) {
			saved := a.ruleset(t)
			a.load(t, "flush ruleset\n"+saved+saved)
		}),
		{name: "table of theirs in its place", keys: allKeys, from: theLastReading, until: theRepair, alone: true, ticks: 3, do: func(t *testing.T, a *administrator) {
			a.nft(t, "delete table inet ssmonitor\nadd table inet ssmonitor\nadd chain inet ssmonitor theirs\n")
			a.pass(administratorInterval)
			a.nft(t, "delete table inet ssmonitor\n")
		}},
		replaced,
		deleted,
		{name: "port removed and added, old listing on top", keys: changedAll, from: theMove, until: theNextReading, ticks: 8,
			alone: true, needsAgent: true, do: loadDeletedPort},
	}
}

// loadDeletedPort loads a listing with the counters of a port that was removed
// from the list since, and then adds the port again.
func loadDeletedPort(t *testing.T, a *administrator) {
	t.Helper()
	saved := a.ruleset(t)
	a.configure(t, steadyPort)
	a.waitDeleted(t, changedPort)
	a.nft(t, saved)
	a.pass(3 * administratorInterval)
	a.configure(t, steadyPort, changedPort)
	a.waitServing(t, steadyPort, changedPort, int(publishedPorts[0]), int(publishedPorts[1]))
}

// redirections count traffic at the wrong counter, or twice, until the repair.
func redirections() []move {
	again := func(keys ...accounting.Key) (gains []gain) {
		for _, key := range keys {
			gains = append(gains, gain{to: key, of: key})
		}
		return gains
	}
	return []move{
		{name: "element to the wrong counter", keys: []accounting.Key{steadyIn}, until: theRepair, alone: true,
			gains: []gain{{to: changedIn, of: steadyIn}}, do: script(
				"delete element inet ssmonitor ports-in { udp . 20000 }",
				"add element inet ssmonitor ports-in { udp . 20000 : \"udp-20001-in\" }")},
		{name: "element to the other protocol", keys: []accounting.Key{steadyOut}, until: theRepair, alone: true,
			gains: []gain{{to: accounting.Key{Port: steadyPort, Protocol: accounting.TCP, Direction: accounting.Out}, of: steadyOut}}, do: script(
				"delete element inet ssmonitor ports-out { udp . 20000 }",
				"add element inet ssmonitor ports-out { udp . 20000 : \"tcp-20000-out\" }")},
		{name: "catch-all in place of an element", keys: []accounting.Key{steadyIn}, until: theRepair, alone: true,
			gains: []gain{{to: changedIn, of: steadyIn}}, do: script(
				"delete element inet ssmonitor ports-in { udp . 20000 }",
				"add element inet ssmonitor ports-in { * : \"udp-20001-in\" }")},
		{name: "own rule inserted without accept", gains: again(allIn...), alone: true, do: script(
			"insert rule inet ssmonitor input counter name meta l4proto . th dport map @ports-in")},
		{name: "second chain that counts", gains: again(allOut...), alone: true, do: script(
			"add chain inet ssmonitor again { type filter hook output priority 50; }",
			"add rule inet ssmonitor again counter name meta l4proto . th sport map @ports-out accept")},
		{name: "our counter in a rule of theirs", gains: again(steadyIn), alone: true, do: script(
			"insert rule inet ssmonitor input udp dport 20000 counter name \"udp-20000-in\"")},
	}
}
