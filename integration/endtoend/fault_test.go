package endtoend_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

var faultDuration = flag.Duration("fault-duration", 0, "go on with the faults of TestFaults for `this long`, all kinds together")

// The ports of the fault test: one is always counted, the other is added and removed.
const (
	steadyPort  = 20000
	changedPort = 20001
)

// TestFaults subjects an agent on the real kernel to the faults of many years.
// It sends traffic of which every datagram is known, and compares the totals
// with it.
func TestFaults(t *testing.T) {
	require(t)
	if testing.Short() {
		t.Skip("the faults take two minutes")
	}
	phases := []struct {
		name string
		run  func(t *testing.T, f *figures)
	}{
		{"full state directory", faultFullDirectory},
		{"kills and port changes", faultKills},
		{"flushes of a plain table", faultFlushes},
		{"resets", faultResets},
		{"saved rulesets", faultSavedRulesets},
		{"flushes of an owned table", faultOwned},
	}
	began := time.Now()
	all := make([]figures, len(phases))
	for i, phase := range phases {
		all[i].until = began.Add(*faultDuration * time.Duration(i+1) / time.Duration(len(phases)))
		t.Run(phase.name, func(t *testing.T) { phase.run(t, &all[i]) })
	}
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(columns, "phase\tfaults\tsent\tcounted\tlost\tat least\tat most\tworst\tbound\t")
	for i, phase := range phases {
		all[i].write(columns, phase.name)
	}
	if err := columns.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("Packets of the counters that are compared. At least and at most were lost by the log of the traffic;\n"+
		"the worst is how long the traffic takes that one fault can have cost.\n%s", &text)
}

// figures are the results of a phase.
type figures struct {
	until         time.Time // it goes on
	faults        string
	sent, counted uint64        // packets of the counters that are compared
	least, most   uint64        // of them that can have been lost, by the log
	worst         time.Duration // of traffic that one fault can have cost
	bound         time.Duration // of that; 0: nothing may be lost
}

// goOn reports whether a phase has more to do after that many rounds.
func (f *figures) goOn(rounds, fewest int) bool {
	return rounds < fewest || time.Now().Before(f.until)
}

func (f *figures) write(w *tabwriter.Writer, name string) {
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n",
		name, f.faults, f.sent, f.counted, f.sent-f.counted, f.least, f.most, f.worst.Round(time.Millisecond), f.bound)
}

// anyTime waits for a random part of the time.
func anyTime(most time.Duration) { time.Sleep(rand.N(most)) }

// faultKills kills the agent at random moments while a port is added and removed.
// The port that stays must be exact to the byte. The total of the other port must
// be at least what was sent while it was certainly counted, and at most what was
// sent while it may have been counted.
func faultKills(t *testing.T, f *figures) {
	const interval, fewest = 200 * time.Millisecond, 25
	r := newTrial(t, interval)
	r.expectNothingLost(t, steadyPort, changedPort)
	kills, changes := 0, 0
	kill := func() {
		anyTime(interval)
		r.restart(t)
		kills++
	}
	change := func(ports ...int) time.Time {
		now := time.Now()
		r.configure(t, append(ports, 30000+changes%1000)...)
		changes++
		return now
	}
	for round := 0; f.goOn(round, fewest); round++ {
		before := r.stream.sent()
		var attached window // it has been since ever
		var counted []window
		if round%3 == 0 { // the changed port is added again before its counters are deleted
			removed := change(steadyPort)
			anyTime(interval)
			change(steadyPort, changedPort)
			kill()
			counted = append(counted, attached.until(removed, removed))
			attached = window{beginEarliest: removed, beginLatest: r.waitAttached(t, steadyPort, changedPort)}
		}
		kill()
		removed := change(steadyPort)
		kill()
		counted = append(counted, attached.until(removed, r.waitDeleted(t, changedPort)))
		added := change(steadyPort, changedPort)
		kill()
		attached = window{beginEarliest: added, beginLatest: r.waitAttached(t, steadyPort, changedPort)}

		lost := r.compare(t)
		counted = append(counted, attached.until(time.Now(), time.Now()))
		for key, lost := range lost {
			if key.Port == steadyPort {
				if lost != (accounting.Count{}) {
					t.Fatalf("%s: got a loss of %+v, want none", key, lost)
				}
				continue
			}
			sent := difference(t, key, r.stream.sent()[key], before[key])
			total := difference(t, key, sent, lost)
			if least, most := r.stream.duringAll(key, counted); less(total, least) || less(most, total) {
				t.Fatalf("%s: got %+v, want between %+v and %+v by the log", key, total, least, most)
			}
		}
		r.stream.forget()
		r.stream.resume()
	}
	f.faults = fmt.Sprintf("%d kills, %d port changes", kills, changes)
	r.finish(t, f, steadyPort)
}

// until returns the window with its end set.
func (w window) until(earliest, latest time.Time) window {
	w.endEarliest, w.endLatest = earliest, latest
	return w
}

// faultFullDirectory fills the state directory before the agent starts, kills the
// agent, removes a port, and frees space again.
func faultFullDirectory(t *testing.T, f *figures) {
	const interval = 200 * time.Millisecond
	r := prepareTrial(t, interval)
	full := fillDirectory(t, r.stateDirectory())
	r.start(t)
	const kills = 5
	for range kills {
		r.waitSaying(t, "the totals can't be saved")
		anyTime(2 * interval)
		r.restart(t)
		r.expectNothingLost(t, steadyPort, changedPort)
	}
	r.waitServing(t, steadyPort, changedPort)
	removed := time.Now()
	r.configure(t, steadyPort)
	r.waitServing(t, steadyPort)
	r.waitIntervals(t, 5)
	detached := time.Now()
	if count, err := r.counters(changedPort); err != nil || count != 4 {
		t.Errorf("before a save is possible: got %d counters of the removed port, %v", count, err)
	}
	r.restart(t)
	r.waitSaying(t, "the totals can't be saved")
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	r.waitSaying(t, "saved again")
	r.waitDeleted(t, changedPort)
	added := time.Now()
	r.configure(t, steadyPort, changedPort)
	attached := r.waitAttached(t, steadyPort, changedPort)
	for key, lost := range r.compare(t) {
		var least, most accounting.Count
		if key.Port == changedPort {
			least, most = r.stream.during(key, window{removed, detached, added, attached})
		}
		if less(lost, least) || less(most, lost) {
			t.Fatalf("%s: got a loss of %+v, want between %+v and %+v by the log", key, lost, least, most)
		}
	}
	r.stream.forget()
	r.stream.resume()
	f.faults = fmt.Sprintf("%d kills", kills+1)
	r.finish(t, f, steadyPort)
}

// fillDirectory mounts a tiny file system on the directory and returns the file
// that occupies all of its space.
func fillDirectory(t *testing.T, directory string) string {
	t.Helper()
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=1m,mode=0755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(directory, syscall.MNT_DETACH) })
	path := filepath.Join(directory, "full")
	if err := os.WriteFile(path, make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the state directory: %v", err)
	}
	return path
}

// faultFlushes flushes the ruleset, twice in a row. What passes between the last
// reading and the new table is lost. At its first reading the second table has
// higher values than the first one had, under the same handles.
//
// The interval is longer than the kernel needs for a new table after a flush when
// no processor is free; half a second was observed.
func faultFlushes(t *testing.T, f *figures) {
	const interval, fewest = time.Second, 20
	r := newTrial(t, interval)
	f.bound = 2 * interval
	flushes := 0
	for ; f.goOn(flushes, fewest); flushes += 2 {
		anyTime(interval)
		first := r.destroy(t, "flush ruleset")
		second := r.destroy(t, "flush ruleset")
		r.waitServing(t, steadyPort, changedPort)
		r.expectLost(t, f, first, second)
	}
	f.faults = fmt.Sprintf("%d flushes", flushes)
	r.finish(t, f, steadyPort, changedPort)
}

// faultSavedRulesets loads a listing that was saved a while ago.
func faultSavedRulesets(t *testing.T, f *figures) {
	const interval, fewest = time.Second, 5
	r := newTrial(t, interval)
	f.bound = 2 * interval
	loads := 0
	for ; f.goOn(loads, fewest); loads++ {
		saved := r.ruleset(t)
		anyTime(interval)
		r.expectLost(t, f, r.destroy(t, "flush ruleset\n"+saved))
		r.waitSaying(t, "loaded from a saved ruleset")
	}
	f.faults = fmt.Sprintf("%d loads", loads)
	r.finish(t, f, steadyPort, changedPort)
}

// destroy runs an nft script that leaves no table that counts, and waits for a
// new one. It returns the time in which nothing was counted or the counts were
// lost, which begins at the last reading.
func (r *trial) destroy(t *testing.T, script string) window {
	t.Helper()
	read := r.report(t).Time
	began := time.Now()
	r.nft(t, script)
	w := window{read, time.Now(), began, began}
	eventually(t, func() error {
		asked := time.Now()
		if err := r.table.Read(new(accounting.Sample)); err != nil {
			w.endEarliest = asked
			return err
		}
		w.endLatest = time.Now()
		return nil
	})
	return w
}

// faultResets resets the counters. What passes between the last reading and the
// reset is lost. The agent is stopped meanwhile, so that the last reading is
// known.
func faultResets(t *testing.T, f *figures) {
	const interval, fewest = 500 * time.Millisecond, 20
	r := newTrial(t, interval)
	f.bound = 2 * interval
	resets := 0
	for ; f.goOn(resets, fewest); resets++ {
		r.stream.waitFor(t, int(2*interval/streamPause))
		before := r.values(t)
		read := r.report(t).Time
		r.freeze(t)
		stopped := time.Now()
		anyTime(interval / 2)
		began := time.Now()
		r.run(t, "nft", "reset", "counters")
		// If a counter has reached its old value again before it is read, the
		// reset can't be seen. On a busy machine that can happen: then reset it
		// again.
		r.stream.pause(t)
		if reached(before, r.values(t)) {
			r.run(t, "nft", "reset", "counters")
		}
		w := window{read, stopped, began, time.Now()}
		r.signal(syscall.SIGCONT)
		r.expectLost(t, f, w)
	}
	if said := strings.Count(r.stderr.String(), "reset by somebody else"); said != resets {
		t.Errorf("got %d logged resets, want %d", said, resets)
	}
	f.faults = fmt.Sprintf("%d resets", resets)
	r.finish(t, f, steadyPort, changedPort)
}

// values returns the values of the counters in the kernel.
func (r *trial) values(t *testing.T) map[accounting.Key]accounting.Count {
	t.Helper()
	var sample accounting.Sample
	if err := r.table.Read(&sample); err != nil {
		t.Fatal(err)
	}
	values := make(map[accounting.Key]accounting.Count)
	for _, reading := range sample.Readings {
		values[reading.Key] = reading.Count
	}
	return values
}

// reached reports whether a counter is not below its old value.
func reached(before, now map[accounting.Key]accounting.Count) bool {
	for key, value := range now {
		if !less(value, before[key]) && value != (accounting.Count{}) {
			return true
		}
	}
	return false
}

// faultOwned flushes the ruleset while the agent owns its table, and kills the
// agent now and then.
func faultOwned(t *testing.T, f *figures) {
	const interval, fewest = 300 * time.Millisecond, 20
	r := prepareTrial(t, interval, "--own", "yes")
	if !r.canOwn(t) {
		t.Skip("this kernel keeps no owned table")
	}
	r.start(t)
	flushes, kills := 0, 0
	for ; f.goOn(flushes, fewest); flushes++ {
		anyTime(interval)
		if flushes%4 == 3 {
			r.restart(t)
			kills++
			r.report(t) // it answers when it has adopted the table
		}
		r.run(t, "nft", "flush", "ruleset")
		r.expectNothingLost(t, steadyPort, changedPort)
	}
	f.faults = fmt.Sprintf("%d flushes, %d kills", flushes, kills)
	r.finish(t, f, steadyPort, changedPort)
}

// canOwn reports whether the kernel can keep an owned table (Linux 6.9).
func (r *trial) canOwn(t *testing.T) (can bool) {
	t.Helper()
	r.within(t, func(*os.File) error {
		table, err := nft.Open(nft.Options{Own: nft.OwnYes})
		if errors.Is(err, nft.ErrOwnUnsupported) {
			return nil
		}
		if can = err == nil; can {
			err = table.Close()
		}
		return err
	})
	return can
}
