package accounting

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// move is one event in a history. The argument selects a variant of it.
type move struct{ kind, argument byte }

// kinds are all events that can happen. Frequent ones are listed more than once.
var kinds = []struct {
	name string
	do   func(w *world, argument byte)
}{
	{"traffic", moveTraffic},
	{"traffic", moveTraffic},
	{"traffic everywhere", moveTrafficEverywhere},
	{"tick", func(w *world, _ byte) { w.tick() }},
	{"tick", func(w *world, _ byte) { w.tick() }},
	{"tick", func(w *world, _ byte) { w.tick() }},
	{"request", func(w *world, _ byte) { w.request() }},
	{"ports", movePorts},
	{"ports", movePorts},
	{"setup by another process", moveSetup},
	{"stop", func(w *world, _ byte) { w.stop() }},
	{"crash", func(w *world, _ byte) { w.crash() }},
	{"save at each tick", func(w *world, argument byte) { w.eager = argument%2 == 0 }},
	{"disk", func(w *world, argument byte) { w.disk.fault = diskFault(argument) % diskFaults }},
	{"flush ruleset", func(w *world, _ byte) { w.flush() }},
	{"reset counters", moveReset},
	{"list ruleset", func(w *world, _ byte) { w.listing = w.kernel.listing() }},
	{"load the list", func(w *world, _ byte) { w.restore() }},
	{"load the list on top", func(w *world, _ byte) { w.restoreOnTop() }},
	{"delete a counter", moveDelete},
	{"delete a chain", moveCut},
	{"teardown", func(w *world, _ byte) { w.teardown() }},
	{"reboot", moveReboot},
	{"another namespace", moveNamespace},
	{"traffic in another namespace", moveTrafficElsewhere},
	{"disturb the agent", moveDisturb},
	{"disturb the agent", moveDisturb},
}

// keyOf maps an argument to a counter of ports 1 to 4 and returns the rest of the
// argument.
func keyOf(argument byte) (Key, byte) {
	key := Key{Port: 1 + uint16(argument%4), Protocol: TCP, Direction: Direction(argument / 8 % 2)}
	if argument/4%2 == 1 {
		key.Protocol = UDP
	}
	return key, argument / 16
}

func moveTraffic(w *world, argument byte) {
	key, rest := keyOf(argument)
	packets := uint64(rest%4) + 1
	w.traffic(key, Count{Packets: packets, Bytes: packets * 40 << (4 * (rest / 4))})
}

func moveTrafficEverywhere(w *world, argument byte) {
	for i := range byte(16) {
		moveTraffic(w, i+argument&0xf0)
	}
}

// movePorts changes the list: two bits per port select the protocols that are
// counted.
func movePorts(w *world, argument byte) {
	w.ports = nil
	for i := range uint16(4) {
		if protocols := Protocols(argument >> (2 * i) & 3); protocols != 0 {
			w.ports = append(w.ports, Port{Number: 1 + i, Protocols: protocols})
		}
	}
	w.operate(func(agent *Meter) { _ = agent.SetPorts(w.ports) }) // after a failure the next tick tries again
}

// moveSetup installs ports without the agent: those in force, or others that the
// agent does not know.
func moveSetup(w *world, argument byte) {
	ports := w.ports
	if argument%2 == 1 {
		ports = Ports{{1 + uint16(argument/2%4), TCPAndUDP, "", false}}
	}
	_ = w.kernel.Install(ports) // fails only if it is disturbed
}

func moveReset(w *world, argument byte) {
	if w.kernel.table == nil {
		return
	}
	only, rest := keyOf(argument)
	for key, c := range w.kernel.table.counters {
		if rest%2 == 0 || key == only {
			c.value = Count{}
		}
	}
}

func moveDelete(w *world, argument byte) {
	if key, _ := keyOf(argument); w.kernel.table != nil {
		delete(w.kernel.table.counters, key)
	}
}

func moveCut(w *world, _ byte) {
	if w.kernel.table != nil {
		w.kernel.table.cut = true
	}
}

// moveReboot empties the kernel: after a clean shutdown or a crash, and with or
// without a saved ruleset that is loaded at the start.
func moveReboot(w *world, argument byte) {
	if argument%2 == 0 {
		w.stop()
	}
	w.crash()
	w.flush()
	if argument/2%2 == 1 {
		w.restore()
	}
}

// moveNamespace goes to another network namespace, with or without the agent.
func moveNamespace(w *world, argument byte) {
	switch argument / 2 % 3 {
	case 0:
		w.stop()
	case 1:
		w.crash()
	}
	w.kernel.move(int(argument % 2))
}

func moveTrafficElsewhere(w *world, argument byte) {
	key, rest := keyOf(argument)
	w.trafficIn(w.kernel.other[rest%2], key, count(uint64(rest)+1))
}

func (w *world) flush() { w.kernel.table = nil }

func (w *world) restore() {
	if w.listing != nil {
		w.kernel.load(w.listing)
	}
}

func (w *world) restoreOnTop() {
	if w.listing != nil {
		w.kernel.loadOnTop(w.listing)
	}
}

// disturbances are what can happen between two calls of the agent.
var disturbances = []struct {
	name string
	do   func(w *world, argument byte) error
}{
	{"crash", func(*world, byte) error { panic(crashed{}) }},
	{"fail", func(*world, byte) error { return errDisturbed }},
	{"traffic everywhere", undisturbed(moveTrafficEverywhere)},
	{"reset counters", undisturbed(moveReset)},
	{"flush ruleset", undisturbed(func(w *world, _ byte) { w.flush() })},
	{"load the list", undisturbed(func(w *world, _ byte) { w.restore() })},
	{"load the list on top", undisturbed(func(w *world, _ byte) { w.restoreOnTop() })},
	{"delete a counter", undisturbed(moveDelete)},
	{"another namespace", undisturbed(func(w *world, argument byte) { w.kernel.move(int(argument) / 16 % 2) })},
	{"setup by another process", undisturbed(func(w *world, argument byte) {
		w.operating = false
		moveSetup(w, argument)
		w.operating = true
	})},
}

// undisturbed makes a disturbance of an action that does not make the agent's
// call fail.
func undisturbed(do func(*world, byte)) func(*world, byte) error {
	return func(w *world, argument byte) error {
		do(w, argument)
		return nil
	}
}

func disturbanceOf(argument byte) (index int, calls int) {
	return int(argument) % len(disturbances), 1 + int(argument)/len(disturbances)%10
}

func moveDisturb(w *world, argument byte) {
	index, calls := disturbanceOf(argument)
	w.countdown = calls
	w.disturbance = func() error { return disturbances[index].do(w, argument) }
}

func (m move) String() string {
	kind := kinds[int(m.kind)%len(kinds)].name
	if kind == "disturb the agent" {
		index, calls := disturbanceOf(m.argument)
		return fmt.Sprintf("%s: %s (%#x) before call %d", kind, disturbances[index].name, m.argument, calls)
	}
	return fmt.Sprintf("%s (%#x)", kind, m.argument)
}

// live plays a history in a new world and returns the first violation.
func live(history []move) error {
	w := newWorld()
	for i, m := range history {
		if kinds[int(m.kind)%len(kinds)].do(w, m.argument); w.violation != nil {
			return fmt.Errorf("after move %d: %w", i+1, w.violation)
		}
	}
	w.settleDown()
	if w.violation != nil {
		return fmt.Errorf("at the end: %w", w.violation)
	}
	return nil
}

// shrink removes moves from a history as long as it still fails.
func shrink(history []move) []move {
	for size := len(history) / 2; size > 0; {
		shorter := false
		for i := 0; i+size <= len(history); {
			if without := slices.Delete(slices.Clone(history), i, i+size); live(without) != nil {
				history, shorter = without, true
			} else {
				i++
			}
		}
		if !shorter {
			size /= 2
		}
	}
	return history
}

// expectWell plays a history. If it fails, it shows the shortest part of it that
// still fails.
func expectWell(t *testing.T, name string, history []move) {
	t.Helper()
	if live(history) == nil {
		return
	}
	history = shrink(history)
	var text strings.Builder
	for i, m := range history {
		fmt.Fprintf(&text, "\n%4d %s", i+1, m)
	}
	t.Fatalf("%s: %v\nthe history:%s", name, live(history), &text)
}

// TestTotalsAreExactExceptForWhatIsLost plays many random histories.
func TestTotalsAreExactExceptForWhatIsLost(t *testing.T) {
	const histories, longest = 3000, 100
	for seed := range uint64(histories) {
		random := rand.New(rand.NewPCG(seed, 0))
		history := make([]move, 1+random.IntN(longest))
		for i := range history {
			history[i] = move{byte(random.UintN(uint(len(kinds)))), byte(random.UintN(256))}
		}
		expectWell(t, fmt.Sprintf("seed %d", seed), history)
	}
}

// TestHistoriesLoseWhatTheyMust tests the model: a world that never loses
// anything, or never counts anything, would prove nothing.
func TestHistoriesLoseWhatTheyMust(t *testing.T) {
	key := Key{1, TCP, In}
	tests := []struct {
		name        string
		do          func(w *world)
		truth, lost uint64
	}{
		{"crashes and restarts lose nothing", func(w *world) {
			w.traffic(key, count(1))
			w.crash()
			w.traffic(key, count(2))
			w.tick()
			w.traffic(key, count(4))
			w.stop()
			w.traffic(key, count(8))
		}, 15, 0},
		{"a flush loses what was not read", func(w *world) {
			w.traffic(key, count(1))
			w.tick()
			w.traffic(key, count(2))
			w.flush()
			w.traffic(key, count(4)) // nothing counts it
			w.tick()
			w.traffic(key, count(8))
		}, 11, 2},
		{"a reset loses what was not read", func(w *world) {
			w.traffic(key, count(9))
			w.tick()
			w.traffic(key, count(2))
			moveReset(w, 0)
			w.traffic(key, count(4))
		}, 15, 2},
		{"a reset that does not show loses as much as the counter held", func(w *world) {
			w.traffic(key, count(1))
			w.tick()
			moveReset(w, 0)
			w.traffic(key, count(4))
		}, 5, 1},
		{"a restored table loses until it is replaced", func(w *world) {
			w.listing = w.kernel.listing()
			w.traffic(key, count(1))
			w.tick()
			w.traffic(key, count(2))
			w.restore()
			w.traffic(key, count(4))
			w.tick()
			w.traffic(key, count(8))
		}, 15, 6},
		{"a list loaded on top is not traffic", func(w *world) {
			w.traffic(key, count(1))
			w.tick()
			w.listing = w.kernel.listing()
			movePorts(w, 4) // removes the port
			w.tick()
			w.tick()
			w.restoreOnTop()
			w.traffic(key, count(2)) // before the initial value was read
			w.tick()
			w.traffic(key, count(4))
			w.tick()
			w.tick()
		}, 7, 2},
		{"a table that returns loses nothing", func(w *world) {
			w.traffic(key, count(1))
			w.tick()
			w.kernel.move(0)
			w.tick()
			w.traffic(key, count(2))
			w.trafficIn(w.kernel.other[0], key, count(4))
			w.stop()
			w.kernel.move(0)
		}, 7, 0},
		{"a reboot loses what was not saved", func(w *world) {
			w.eager = false
			w.crash()
			w.tick()
			w.traffic(key, count(1))
			w.stop()
			w.traffic(key, count(2))
			w.tick()
			w.traffic(key, count(4))
			w.tick()
			moveReboot(w, 1)
			w.tick()
			w.traffic(key, count(8))
		}, 15, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			movePorts(w, 1)
			test.do(w)
			w.tick()
			if w.violation != nil {
				t.Error(w.violation)
			}
			if lost := w.truth[key].Minus(w.total(key)); w.truth[key] != count(test.truth) || lost != count(test.lost) {
				t.Errorf("got %v counted and %v lost, want %v and %v", w.truth[key], lost, count(test.truth), count(test.lost))
			}
		})
	}
}

// FuzzHistory makes each move from two bytes.
func FuzzHistory(f *testing.F) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 2*random.IntN(40))
		for i := range data {
			data[i] = byte(random.UintN(256))
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const longest = 200 // moves: longer histories find nothing more
		var history []move
		for pair := range slices.Chunk(data[:min(len(data), 2*longest)], 2) {
			history = append(history, move{pair[0], pair[len(pair)-1]})
		}
		expectWell(t, "the fuzzed history", history)
	})
}
