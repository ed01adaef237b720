package accounting

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// world is a model of everything that the totals depend on: the kernel and what
// others do to it, the disk, and the agent, which may die at any moment. It also
// keeps track of the true traffic and how much of it can be known, and records
// the first violation of the design.
type world struct {
	kernel  *kernel
	disk    *disk
	agent   *Meter // nil: not running
	ports   Ports  // to be counted
	listing *table // what was saved with `nft list ruleset`
	eager   bool   // the next agent saves at each tick

	truth   map[Key]Count      // all that the kernel has ever counted
	memory  map[counting]known // at the agent's last reading
	durable map[counting]known // at the last save
	shown   map[counting]known // at the last report
	forgot  bool               // an agent has crashed since that report

	operating bool  // the agent is running a call
	epoch     Epoch // of the table that the agent has read last
	tried     bool  // a save was tried since the last reading
	urgent    bool  // a reading found what must be saved at once, and no save was tried since

	disturbance func() error // what others do between two calls of the agent
	countdown   int          // number of calls until then
	violation   error
}

// counting is a counter that counts for a key.
type counting struct {
	key     Key
	counter *counter
}

// known is the most that readings can reveal about a counter.
type known struct {
	truth Count // at the last reading
	lost  Count // the part of it that no reading can have seen
	zero  Count // the truth when it stood at 0
}

func (k known) total() Count { return k.truth.Minus(k.lost) }

// less reports whether any field of a is below that of b.
func less(a, b Count) bool { return a.Packets < b.Packets || a.Bytes < b.Bytes }

// crashed is the value that a crash panics with.
type crashed struct{}

var errDisturbed = errors.New("disturbed")

func newWorld() *world {
	w := &world{
		kernel: newKernel(), disk: newDisk(), eager: true,
		truth: make(map[Key]Count), memory: make(map[counting]known),
	}
	w.kernel.before = w.disturb
	w.kernel.onRead = w.read
	w.kernel.onMake = w.expectSavedBeforeInstall
	w.kernel.onDrop = w.expectSavedBeforeDelete
	w.disk.before = func(call string) error {
		w.tried, w.urgent = true, false
		return w.disturb(call)
	}
	w.disk.onSave = func() { w.durable = maps.Clone(w.memory) }
	return w
}

func (w *world) violate(format string, arguments ...any) {
	if w.violation == nil {
		w.violation = fmt.Errorf(format, arguments...)
	}
}

// disturb lets others act between two calls of the agent.
func (w *world) disturb(call string) error {
	if call == "read" {
		w.tried = false
	}
	if !w.operating || w.countdown == 0 {
		return nil
	}
	if w.countdown--; w.countdown > 0 {
		return nil
	}
	return w.disturbance()
}

// traffic sends traffic through one counter, if it exists.
func (w *world) traffic(key Key, amount Count) { w.trafficIn(w.kernel.table, key, amount) }

func (w *world) trafficIn(table *table, key Key, amount Count) {
	if table.traffic(key, amount) {
		w.truth[key] = w.truth[key].Plus(amount)
	}
}

// read updates what can be known after a reading.
func (w *world) read() {
	if !w.operating {
		return
	}
	if w.kernel.table.epoch != w.epoch {
		w.epoch, w.urgent = w.kernel.table.epoch, true
	}
	for key, c := range w.kernel.table.counters {
		w.readCounter(key, c)
	}
}

// readCounter updates what can be known of one counter. All traffic between the
// reading before and the last time that the counter stood at 0 is lost. If the
// counter has reached at least its old value again, nothing shows that it was
// reset, and what the reading before has seen of it is lost as well. It does not
// matter which other counters were read in between.
func (w *world) readCounter(key Key, c *counter) {
	at := counting{key, c}
	before, seen := w.memory[at]
	next := known{truth: c.truth, lost: before.lost, zero: c.truth.Minus(c.value)}
	switch {
	case !seen && c.loaded: // it began with an unknown value
		next.lost = c.truth
		w.urgent = true
	case !seen:
		next.lost = next.zero
	case before.zero != next.zero:
		next.lost = next.lost.Plus(next.zero.Minus(before.truth))
		if last := before.truth.Minus(before.zero); less(c.value, last) {
			w.urgent = true
		} else {
			next.lost = next.lost.Plus(last)
		}
	}
	w.memory[at] = next
}

// total returns the most that can be known of a key's traffic.
func (w *world) total(key Key) (total Count) {
	for at, now := range w.memory {
		if at.key == key {
			total = total.Plus(now.total())
		}
	}
	return total
}

func (w *world) expectSavedBeforeInstall() {
	if w.operating && !w.tried && !maps.Equal(w.memory, w.durable) {
		w.violate("a table was made before what the lost one held was saved")
	}
}

func (w *world) expectSavedBeforeDelete(key Key, c *counter) {
	if saved, found := w.durable[counting{key, c}]; w.operating && (!found || saved.truth != c.truth) {
		w.violate("%s was deleted at %+v, saved was %+v", key, c.truth, saved.truth)
	}
}

// operate calls the agent, which it starts first if none is running. The agent
// may die during the call.
func (w *world) operate(work func(agent *Meter)) {
	w.operating = true
	defer func() {
		w.operating = false
		switch reason := recover(); reason {
		case nil:
		case crashed{}:
			w.crash()
		default:
			panic(reason)
		}
	}()
	if w.agent == nil {
		w.start()
	}
	work(w.agent)
}

func (w *world) newAgent() *Meter {
	interval := time.Hour
	if w.eager {
		interval = 0
	}
	w.epoch, w.kernel.known = Epoch{}, ""
	return NewMeter(MeterOptions{
		Table: w.kernel, Now: w.kernel.now, Store: w.disk, Initial: w.disk.state(), SaveInterval: interval, Log: slog.New(slog.DiscardHandler),
	})
}

func (w *world) start() {
	w.agent = w.newAgent()
	_ = w.agent.SetPorts(w.ports) // after a failure the next tick tries again
}

// crash ends the agent. What it had read but not saved can be read again only
// from counters that still exist.
func (w *world) crash() {
	w.agent = nil
	w.memory = maps.Clone(w.durable)
	if w.memory == nil {
		w.memory = make(map[counting]known)
	}
	w.forgot, w.urgent = true, false
}

func (w *world) tick() {
	w.operate(func(agent *Meter) {
		w.kernel.clock = w.kernel.clock.Add(time.Second)
		due := w.due()
		report, err := agent.Tick()
		if err != nil {
			return
		}
		w.expectRead(due)
		w.expectReport(report)
		if agent.options.SaveInterval == 0 && !w.tried {
			w.violate("the tick did not save")
		}
	})
}

func (w *world) request() {
	w.operate(func(agent *Meter) {
		due := w.due()
		if agent.Read() != nil {
			return
		}
		w.expectRead(due)
		w.expectReport(agent.Report())
	})
}

// stop ends the agent as SIGTERM does.
func (w *world) stop() {
	if w.agent == nil {
		return
	}
	w.operate(func(agent *Meter) {
		due := w.due()
		if agent.Flush() == nil {
			w.expectSaved(due)
			w.agent = nil
		} else {
			w.crash()
		}
	})
}

// teardown does what `ssmonitor teardown` does, without an agent or ports.
func (w *world) teardown() {
	w.stop()
	w.agent = w.newAgent()
	w.operate(func(agent *Meter) {
		if w.kernel.table != nil {
			w.kernel.table.cut = true
		}
		due := w.due()
		if agent.Flush() == nil {
			w.expectSaved(due)
			w.kernel.table = nil
		}
		w.crash()
	})
}

// due returns the true traffic of all counters that the next reading must see.
func (w *world) due() map[*counter]reached {
	due := make(map[*counter]reached)
	if w.kernel.table != nil && w.kernel.table.epoch != (Epoch{}) {
		for key, c := range w.kernel.table.counters {
			due[c] = reached{key, c.truth}
		}
	}
	return due
}

type reached struct {
	key   Key
	truth Count
}

func (w *world) expectRead(due map[*counter]reached) {
	for c, r := range due {
		if w.kernel.counter(r.key) == c && less(w.memory[counting{r.key, c}].truth, r.truth) {
			w.violate("%s had reached %+v and was read at %+v", r.key, r.truth, w.memory[counting{r.key, c}].truth)
		}
	}
}

func (w *world) expectSaved(due map[*counter]reached) {
	for c, r := range due {
		if w.kernel.counter(r.key) == c && less(w.durable[counting{r.key, c}].truth, r.truth) {
			w.violate("%s had reached %+v and was saved at %+v", r.key, r.truth, w.durable[counting{r.key, c}].truth)
		}
	}
}

// expectReport compares a report with what can be known and with the report
// before it.
func (w *world) expectReport(report *Report) {
	if w.urgent {
		w.violate("a reset or another table was published before it was saved")
	}
	for _, port := range report.Ports {
		for key, flow := range port.flows() {
			known := w.total(key)
			if total := flow.Total; total != known {
				w.violate("the total of %s is %+v, want %+v: the kernel counted %+v, of which the rest can't be known",
					key, total, known, w.truth[key])
			}
			if floor := w.floor(key); less(known, floor) {
				w.violate("the total of %s fell from %+v to %+v", key, floor, known)
			}
		}
	}
	w.expectSum(report.Total.In.Total, report.Total.Out.Total)
	w.shown, w.forgot = maps.Clone(w.memory), false
}

func (w *world) expectSum(in, out Count) {
	var sum, floor [2]Count // by direction
	for at, now := range w.memory {
		sum[at.key.Direction] = sum[at.key.Direction].Plus(now.total())
	}
	for at, was := range w.shown {
		floor[at.key.Direction] = floor[at.key.Direction].Plus(w.still(at, was))
	}
	if in != sum[In] || out != sum[Out] {
		w.violate("all ports together have %+v and %+v, want %+v and %+v", in, out, sum[In], sum[Out])
	}
	if less(in, floor[In]) || less(out, floor[Out]) {
		w.violate("all ports together fell to %+v and %+v, below %+v and %+v", in, out, floor[In], floor[Out])
	}
}

// floor returns the least that a total may be.
func (w *world) floor(key Key) (floor Count) {
	for at, was := range w.shown {
		if at.key == key {
			floor = floor.Plus(w.still(at, was))
		}
	}
	return floor
}

// still returns the part of a total that can't have been forgotten: what was shown
// of a counter, unless an agent crashed before it had saved that and the counter
// was lost before the next agent could read it.
func (w *world) still(at counting, was known) Count {
	now := w.memory[at]
	if w.forgot && (now.lost != was.lost || less(now.truth, was.truth)) {
		return Count{}
	}
	return was.total()
}

// settleDown ends all faults and expects correct totals soon after.
func (w *world) settleDown() {
	w.disk.fault, w.countdown = diskGood, 0
	const soon = 6 // ticks: a repair, two readings of unknown counters, a detaching, a last reading, and one to see the result
	for range soon {
		w.tick()
	}
	var found []Key
	if w.kernel.table != nil {
		found = w.kernel.table.keys()
		if w.kernel.table.cut {
			w.violate("in the end nothing is counted")
		}
	}
	if want := w.ports.Keys(); !slices.Equal(found, want) {
		w.violate("in the end there are counters of %v, want %v", found, want)
	}
	for _, key := range found {
		if !w.kernel.counter(key).attached {
			w.violate("in the end %s is not counted", key)
		}
	}
	w.stop()
	w.tick() // by another agent
	if w.agent == nil || w.agent.Status().LastError != nil {
		w.violate("in the end the counters can't be read")
	}
}
