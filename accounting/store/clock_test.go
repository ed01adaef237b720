package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// machine is a machine whose clock can be set. An agent on it counts one packet
// per save.
type machine struct {
	t         *testing.T
	directory string
	now       time.Time     // the right time
	wrong     time.Duration // how far the clock is ahead
	booted    time.Time
	boots     int
	hidden    bool // the boot's id can't be read

	store   *Store
	packets uint64
	log     bytes.Buffer
}

func newMachine(t *testing.T, now time.Time, wrong time.Duration, hidden bool) *machine {
	m := &machine{t: t, directory: fast(t), now: now, booted: now, hidden: hidden}
	m.set(wrong)
	m.start()
	return m
}

func (m *machine) set(wrong time.Duration) {
	if m.wrong = wrong; wrong == in1970 {
		m.wrong = time.Unix(0, 0).Sub(m.now)
	}
}

func (m *machine) start() {
	options := Options{
		Holder: "run", Zone: time.UTC, Log: slog.New(slog.NewTextHandler(&m.log, nil)), Boot: fmt.Sprint(m.boots),
		KeepHours: 90 * 24 * time.Hour, KeepDays: 730 * 24 * time.Hour,
		Now: func() time.Time { return m.now.Add(m.wrong) }, uptime: func() time.Duration { return m.now.Sub(m.booted) },
	}
	if m.hidden {
		options.Boot = ""
	}
	m.store, _, _ = openWith(m.t, m.directory, options)
}

// restart ends the agent and starts another one.
func (m *machine) restart() {
	abandon(m.store)
	m.start()
}

// reboot turns the machine off for a time, after which its clock is wrong.
func (m *machine) reboot(off, wrong time.Duration) {
	abandon(m.store)
	m.now, m.boots = m.now.Add(off), m.boots+1
	m.booted = m.now
	m.set(wrong)
	m.now = m.now.Add(time.Minute)
	m.start()
}

// count saves one packet at a time after each step.
func (m *machine) count(times int, step time.Duration) {
	m.t.Helper()
	for range times {
		m.now = m.now.Add(step)
		m.packets++
		key := accounting.Key{Port: 20000, Protocol: accounting.TCP, Direction: accounting.In}
		total, one := accounting.Count{Packets: m.packets, Bytes: 100 * m.packets}, accounting.Count{Packets: 1, Bytes: 100}
		save(m.t, m.store, accounting.State{
			Accounts: []accounting.Account{{Key: key, Total: total, Last: total, Epoch: accounting.Epoch{1}, Handle: 1}},
			Gains:    []accounting.Gain{{Time: m.now.Add(m.wrong), Key: key, Count: one}},
		})
	}
}

// want expects packets by day, and the same sums by hour and month.
func (m *machine) want(days map[string]uint64) {
	m.t.Helper()
	wantSound(m.t, m.directory)
	got := make(map[string]uint64)
	for _, row := range recorded(m.t, m.directory, usage.ByDay).Rows {
		got[row.Start.Format(time.DateOnly)] += row.In.Packets
	}
	if fmt.Sprint(got) != fmt.Sprint(days) {
		m.t.Errorf("got packets by day %v, want %v", got, days)
	}
	for by, format := range map[usage.Period]string{usage.ByHour: time.DateOnly, usage.ByMonth: "2006-01"} {
		got, want := make(map[string]uint64), make(map[string]uint64)
		for _, row := range recorded(m.t, m.directory, by).Rows {
			got[row.Start.Format(format)] += row.In.Packets
		}
		for day, packets := range days {
			want[day[:len(format)]] += packets
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			m.t.Errorf("by %s: got packets %v, want %v", by, got, want)
		}
	}
}

func (m *machine) wantLog(texts ...string) {
	m.t.Helper()
	for _, text := range texts {
		if strings.Count(m.log.String(), text) != 1 {
			m.t.Errorf("want %q once in the log:\n%s", text, &m.log)
		}
	}
}

const year = 365 * 24 * time.Hour

// in1970 stands for a clock that begins at the first of January 1970.
const in1970 = time.Duration(math.MinInt64)

// The steps of a test with a machine.
type step func(m *machine)

func count(times int, apart time.Duration) step { return func(m *machine) { m.count(times, apart) } }
func reboot(off, wrong time.Duration) step      { return func(m *machine) { m.reboot(off, wrong) } }
func set(wrong time.Duration) step              { return func(m *machine) { m.set(wrong) } }
func restart(m *machine)                        { m.restart() }
func hide(m *machine)                           { m.hidden = true }

// daily returns one packet per day.
func daily(first time.Time, days int) map[string]uint64 {
	packets := make(map[string]uint64)
	for n := range days {
		packets[first.AddDate(0, 0, n).Format(time.DateOnly)] = 1
	}
	return packets
}

// with returns the packets by day with more on one of them.
func with(days map[string]uint64, day string, packets uint64) map[string]uint64 {
	days[day] += packets
	return days
}

// TestUsageOfAWrongClockMoves counts two packets while the clock is wrong, and two
// after it was set.
func TestUsageOfAWrongClockMoves(t *testing.T) {
	const day = 24 * time.Hour
	past := noon.Add(-3 * day)
	december := time.Date(2026, 12, 1, 0, 10, 0, 0, time.UTC)
	one, two := count(1, time.Minute), count(2, time.Minute)
	tests := []struct {
		name  string
		begin time.Time
		wrong time.Duration
		steps []step
		days  map[string]uint64
	}{
		{"a new ledger in 1970", noon, in1970, []step{two, set(0), two}, map[string]uint64{"2026-11-24": 4}},
		{"a new ledger in 2046", noon, 20 * year, []step{two, set(0), two}, map[string]uint64{"2026-11-24": 4}},
		{"booted in 1970", past, 0, []step{one, reboot(3*day, in1970), two, set(0), two}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"days in 1970", past, 0, []step{one, reboot(0, in1970), count(32, day), set(0), count(2, time.Hour)}, with(daily(past, 33), "2026-12-23", 2)},
		{"an agent restarted in 1970", past, 0, []step{one, reboot(3*day, in1970), one, restart, one, restart, set(0), two},
			map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"the clock was set while no agent ran", past, 0, []step{one, reboot(3*day, in1970), two, set(0), restart, two},
			map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"the same, and the boot's id is hidden", past, 0, []step{hide, restart, one, reboot(time.Hour, in1970), two, set(0), restart, two},
			map[string]uint64{"2026-11-21": 5}},
		{"the clock was never set in that boot", past, 0,
			[]step{one, reboot(time.Hour, in1970), one, reboot(time.Hour, in1970), one, reboot(time.Hour, 0), two}, map[string]uint64{"2026-11-21": 5}},
		{"a new ledger, and two boots in 1970", past, in1970, []step{one, reboot(time.Hour, in1970), one, set(0), two}, map[string]uint64{"2026-11-21": 4}},
		{"booted with the time of the shutdown", past, 0, // as fake-hwclock does
			[]step{one, reboot(3*day, -3*day), two, set(0), two}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"a date on which the ledger has usage", past, 0,
			[]step{count(3, time.Minute), reboot(3*day, 0), count(25, time.Hour), reboot(time.Hour, past.Sub(noon)-26*time.Hour), two, set(0), two},
			map[string]uint64{"2026-11-21": 3, "2026-11-24": 11, "2026-11-25": 18}},
		{"2046 for a while", past, 0, []step{one, reboot(3*day, 0), one, set(20 * year), two, set(0), two}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 5}},
		{"2046 after weeks of the right time", noon.Add(-10 * day), 0, []step{count(10, day), set(20 * year), two, restart, two, set(0), two},
			with(daily(noon.Add(-9*day), 10), "2026-11-24", 6)},
		{"booted in 2046, and with the right time", past, 0, []step{one, reboot(time.Hour, 20*year), two, reboot(time.Hour, 0), two}, map[string]uint64{"2026-11-21": 5}},
		{"a long stop is not a wrong clock", noon.Add(-year), 0, []step{two, reboot(year, 0), two, restart, two, reboot(2*day, 0), two},
			map[string]uint64{"2025-11-24": 2, "2026-11-24": 4, "2026-11-26": 2}},
		{"booted at the begin of a month, late in an hour of 1970", december, time.Unix(50*60, 0).Sub(december), []step{two, set(0), two},
			map[string]uint64{"2026-12-01": 4}},
		{"a correction of less than a day moves nothing", noon, -20 * time.Hour, []step{two, set(0), two}, map[string]uint64{"2026-11-23": 2, "2026-11-24": 2}},
	}
	needsID := map[string]bool{"the clock was set while no agent ran": true, "booted with the time of the shutdown": true}
	for _, test := range tests {
		for _, hidden := range []bool{false, true} {
			if hidden && needsID[test.name] {
				continue
			}
			t.Run(fmt.Sprintf("%s, hidden: %t", test.name, hidden), func(t *testing.T) {
				m := newMachine(t, test.begin, test.wrong, hidden)
				for _, step := range test.steps {
					step(m)
				}
				m.want(test.days)
			})
		}
	}
}

// TestSetClockIsLogged expects one line for what moved.
func TestSetClockIsLogged(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		m := newMachine(t, noon, in1970, hidden)
		m.count(2, time.Minute)
		m.wrong = 0
		m.count(3, time.Minute)
		m.wantLog("the clock was set forward by", "what was booked since 1970-01-01T00:00:01Z, 200 bytes in and 0 out, is now usage of the time since 2026-11-24T12:00:01Z")
		if lines := strings.Count(m.log.String(), "\n"); lines != 1 {
			t.Errorf("got %d lines, want 1:\n%s", lines, &m.log)
		}
	}
}

// TestGainsOfAWrongClock saves readings of before and after the clock was set at once,
// or one of a time at which the clock was wrong.
func TestGainsOfAWrongClock(t *testing.T) {
	for _, test := range []struct {
		name           string
		before, during time.Duration // how far the clock is ahead at the save before, and at the first reading
		readings       uint64
	}{{"it was set", in1970, in1970, 2}, {"it was set and set back", 0, 20 * year, 1}} {
		m := newMachine(t, noon, test.before, false)
		m.count(1, time.Minute)
		m.now = m.now.Add(time.Minute)
		if test.during != test.before {
			m.set(test.during)
		}
		first := m.now.Add(m.wrong)
		m.set(0)
		m.now = m.now.Add(time.Minute)
		state := stateAt(1, 1)
		for i := range state.Accounts {
			account := &state.Accounts[i]
			account.Key.Port = 20001
			part := accounting.Count{Packets: account.Total.Packets, Bytes: account.Total.Bytes / test.readings}
			for _, at := range []time.Time{first, m.now}[:test.readings] {
				state.Gains = append(state.Gains, accounting.Gain{Time: at, Key: account.Key, Count: part})
			}
		}
		save(t, m.store, state)
		for _, row := range recorded(t, m.directory, usage.ByHour).Rows {
			if !row.Start.Equal(noon) {
				t.Errorf("%s: got usage of %s, want only of %s", test.name, row.Start, noon)
			}
		}
		wantSound(t, m.directory)
	}
}
