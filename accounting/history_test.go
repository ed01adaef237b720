package accounting

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// move is one thing that happens in a history. The argument says how.
type move struct{ kind, argument byte }

// kinds are all things that can happen. Those that happen often stand here more
// than once.
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
	{"disturb the agent", moveDisturb},
	{"disturb the agent", moveDisturb},
}

// keyOf spreads an argument over the counters of ports 1 to 4; what is left of
// it follows.
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

// movePorts changes the list: two bits a port say for which protocols it is
// counted.
func movePorts(w *world, argument byte) {
	w.ports = nil
	for i := range uint16(4) {
		if protocols := Protocols(argument >> (2 * i) & 3); protocols != 0 {
			w.ports = append(w.ports, Port{Number: 1 + i, Protocols: protocols})
		}
	}
	w.operate(func(agent *Meter) { _ = agent.SetPorts(w.ports) }) // a failure is made good by the next tick
}

// moveSetup installs the ports in force and does not wait for the agent, or
// some that the agent knows nothing of.
func moveSetup(w *world, argument byte) {
	ports := w.ports
	if argument%2 == 1 {
		ports = Ports{{1 + uint16(argument/2%4), TCPAndUDP, ""}}
	}
	_ = w.kernel.Install(ports) // never fails but when it is disturbed
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

// moveReboot loses what is in the kernel: after a clean shutdown, a crash, or
// one that loads a saved ruleset at the start.
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

// disturbances are what happens between two calls of the agent.
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
	{"setup by another process", undisturbed(func(w *world, argument byte) {
		w.operating = false
		moveSetup(w, argument)
		w.operating = true
	})},
}

// undisturbed is what others do without a fault of the agent's call.
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

// live lets a history happen in a new world. It returns what was not as it
// should be.
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

// shrink takes moves out of a history for as long as it fails without them.
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

// expectWell lives a history and shows as little of it as still goes wrong.
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

// TestTotalsAreTheTruthButForWhatCannotBeKnown lives many random histories.
func TestTotalsAreTheTruthButForWhatCannotBeKnown(t *testing.T) {
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

// TestHistoriesLoseWhatTheyMust guards the model: a world in which nothing ever
// is lost, or nothing counted, would prove nothing.
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
			w.traffic(key, count(4)) // is not counted by anybody
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
			movePorts(w, 4) // the port leaves
			w.tick()
			w.tick()
			w.restoreOnTop()
			w.traffic(key, count(2)) // before anybody could read the base
			w.tick()
			w.traffic(key, count(4))
			w.tick()
			w.tick()
		}, 7, 2},
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
			if w.truth[key] != count(test.truth) || w.memory[key].lost != count(test.lost) {
				t.Errorf("counted are %v, lost %v, want %v and %v", w.truth[key], w.memory[key].lost, count(test.truth), count(test.lost))
			}
		})
	}
}

// FuzzHistory takes two bytes for a move.
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
		const longest = 200 // moves: longer ones teach nothing more
		var history []move
		for pair := range slices.Chunk(data[:min(len(data), 2*longest)], 2) {
			history = append(history, move{pair[0], pair[len(pair)-1]})
		}
		expectWell(t, "the fuzzed history", history)
	})
}
