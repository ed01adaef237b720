package endtoend_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"ssmonitor/accounting"
)

// round is a few moves between two settlements, with the times of the moves.
type round struct {
	moves        []move
	made         []moment
	sinceReading bool          // a move may cost what was counted since the last reading
	read         time.Time     // no reading before this one was the last one before the moves
	down         time.Duration // how long no agent ran
	wrong        time.Time     // when what counts at the host was seen wrong for the last time; zero: never
	right        time.Time     // a moment at which it was right
	readAgain    time.Time     // a moment after the first reading of the repaired table
}

// moment is when a move began and when it was over.
type moment struct{ began, ended time.Time }

// window returns the time in which traffic is not counted, or counted elsewhere,
// because of the move at index i.
func (r *round) window(i int) window {
	m, made := r.moves[i], r.made[i]
	w := window{beginEarliest: made.began, beginLatest: made.ended, endEarliest: made.began, endLatest: r.right}
	if m.from == theLastReading {
		w.beginEarliest = r.read
	}
	switch m.until {
	case theMove:
		w.endLatest = made.ended
	case theNextReading:
		w.endLatest = r.readAgain
	case theRepair:
		if r.wrong.After(made.ended) {
			w.endEarliest = r.wrong
		}
	}
	return w
}

// strays reports whether a counter may count what is not of the stream.
func (r *round) strays(key accounting.Key) bool {
	return slices.ContainsFunc(r.moves, func(m move) bool { return slices.Contains(m.strays, key) })
}

// signed is a difference of counts.
type signed struct{ packets, bytes int64 }

func (s signed) plus(c accounting.Count) signed {
	return signed{s.packets + int64(c.Packets), s.bytes + int64(c.Bytes)}
}

func (s signed) minus(c accounting.Count) signed {
	return signed{s.packets - int64(c.Packets), s.bytes - int64(c.Bytes)}
}

func (s signed) within(least, most signed) bool {
	return least.packets <= s.packets && s.packets <= most.packets && least.bytes <= s.bytes && s.bytes <= most.bytes
}

// allowance is what one counter may lose or gain in a round, by the log of the
// traffic.
type allowance struct {
	least, most accounting.Count // lost
	over        accounting.Count // counted in addition, at most
	worst       time.Duration    // of traffic that one move may have cost or added
}

// allowed returns the allowance of a counter. The moves of a series may lose what
// passes between the first of them and the last repair. The least that they lose
// is not known, since the repair of one may be that of another.
func (a *administrator) allowed(key accounting.Key, r *round) allowance {
	var all allowance
	var lost window
	for i, m := range r.moves {
		if m.loses(key) {
			if w := r.window(i); lost.beginEarliest.IsZero() {
				lost = w
			} else {
				lost = lost.joined(w)
			}
		}
		if slices.Contains(m.meets, key) {
			_, most := a.stream.during(key, window{r.wrong, r.wrong, r.right, r.right})
			all.over, all.most = all.over.Plus(most), all.most.Plus(most)
		}
		for _, gain := range m.gains {
			if gain.to == key {
				_, most := a.stream.during(gain.of, window{r.made[i].began, r.made[i].ended, r.right, r.right})
				all.over = all.over.Plus(most)
				all.worst = max(all.worst, a.stream.length(gain.of, most.Packets))
			}
		}
	}
	if !lost.beginEarliest.IsZero() {
		least, most := a.stream.during(key, lost)
		all.least, all.most = least, all.most.Plus(most)
		if len(r.moves) > 1 || slices.Contains(publishedKeys, key) { // or it passes elsewhere
			all.least = accounting.Count{}
		}
		all.worst = max(all.worst, a.stream.length(key, all.most.Packets))
	}
	return all
}

// joined returns the smallest window that contains both.
func (w window) joined(other window) window {
	if other.beginEarliest.Before(w.beginEarliest) {
		w.beginEarliest = other.beginEarliest
	}
	if other.endLatest.After(w.endLatest) {
		w.endLatest = other.endLatest
	}
	return w
}

// settle pauses the traffic, compares the totals of every counter with it, and
// adds the round to the row.
func (a *administrator) settle(t *testing.T, row *moveFigures, r *round) error {
	t.Helper()
	before, beforeSent, beforeUnlisted := a.counted, a.sent, a.unlisted
	a.pause(t)
	defer a.stream.resume()
	defer a.stream.forget()
	row.times++
	limit := 2*administratorInterval + administratorGrace
	for _, m := range r.moves {
		limit = max(limit, time.Duration(m.ticks)*administratorInterval+administratorGrace)
	}
	if r.sinceReading && r.down > 0 {
		limit += administratorSave + 2*administratorInterval
	}
	row.bound = max(row.bound, limit)
	var errs []error
	if a.unlisted != beforeUnlisted {
		errs = append(errs, fmt.Errorf("unlisted ports: got %+v, want %+v as before", a.unlisted, beforeUnlisted))
	}
	for key, counted := range a.counted {
		if r.strays(key) {
			continue
		}
		if less(counted, before[key]) {
			errs = append(errs, fmt.Errorf("%s: the total fell from %+v to %+v", key, before[key], counted))
		}
		lost := signed{}.plus(a.sent[key]).minus(beforeSent[key]).minus(counted).plus(before[key])
		all := a.allowed(key, r)
		least, most := signed{}.plus(all.least).minus(all.over), signed{}.plus(all.most)
		if !lost.within(least, most) {
			errs = append(errs, fmt.Errorf("%s: got a loss of %+v, want between %+v and %+v by the log", key, lost, least, most))
		}
		worst := max(0, all.worst-r.down)
		if worst > limit {
			errs = append(errs, fmt.Errorf("%s: one move may have cost or added %s of traffic, more than %s", key, worst, limit))
		}
		row.add(a.sent[key].Packets-beforeSent[key].Packets, lost, all, worst)
	}
	return errors.Join(errs...)
}

// pause pauses the traffic and reads the totals.
func (a *administrator) pause(t *testing.T) {
	t.Helper()
	a.stream.pause(t)
	report := a.report(t)
	a.sent, a.counted = a.stream.sent(), totals(report)
	in, out := report.Total.In.Total, report.Total.Out.Total
	a.unlisted = signed{}.plus(in).plus(out)
	for _, total := range a.counted {
		a.unlisted = a.unlisted.minus(total)
	}
}

// rebase begins a new comparison with the totals as they are.
func (a *administrator) rebase(t *testing.T) {
	t.Helper()
	a.pause(t)
	a.stream.forget()
	a.stream.resume()
}

// moveFigures are the results of one kind of move, in packets.
type moveFigures struct {
	name           string
	times          int
	sent           uint64
	lost, mostLost uint64
	over, mostOver uint64
	worst, bound   time.Duration
}

func (f *moveFigures) add(sent uint64, lost signed, all allowance, worst time.Duration) {
	f.sent += sent
	f.lost += uint64(max(0, lost.packets))
	f.over += uint64(max(0, -lost.packets))
	f.mostLost += all.most.Packets
	f.mostOver += all.over.Packets
	f.worst = max(f.worst, worst)
}

// row returns the figures of a kind of move.
func (a *administrator) row(name string) *moveFigures {
	for _, f := range a.figures {
		if f.name == name {
			return f
		}
	}
	f := &moveFigures{name: name}
	a.figures = append(a.figures, f)
	return f
}

// logFigures prints the table of all moves.
func (a *administrator) logFigures(t *testing.T) {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "move\ttimes\tsent\tcounted\tlost\tat most\ttwice\tat most\tworst\tbound")
	for _, f := range a.figures {
		bound := "nothing"
		if f.mostLost+f.mostOver > 0 {
			bound = f.bound.String()
		}
		fmt.Fprintf(columns, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", f.name, f.times, f.sent, f.sent-f.lost+f.over,
			f.lost, f.mostLost, f.over, f.mostOver, f.worst.Round(time.Millisecond), bound)
	}
	if err := columns.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("Packets. At most were lost, or counted in addition, by the log of the traffic; the worst is how long the\n"+
		"traffic takes that one move can have cost or added, beyond the time that no agent ran. %d moves of series were refused.\n%s", a.refused, &text)
}
