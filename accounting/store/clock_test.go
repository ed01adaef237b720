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

// beginning is newMachine for one test.
type beginning func(now time.Time, wrong time.Duration) *machine

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
		Holder: "run", Zone: time.UTC, Log: slog.New(slog.NewTextHandler(&m.log, nil)), boot: fmt.Sprint(m.boots),
		KeepHours: 90 * 24 * time.Hour, KeepDays: 730 * 24 * time.Hour,
		Now: func() time.Time { return m.now.Add(m.wrong) }, Uptime: func() time.Duration { return m.now.Sub(m.booted) },
	}
	if m.hidden {
		options.boot = ""
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

// TestUsageOfAWrongClockMoves counts two packets while the clock is wrong, and two
// after it was set.
func TestUsageOfAWrongClockMoves(t *testing.T) {
	past := noon.AddDate(0, 0, -3)
	tests := []struct {
		name string
		do   func(begin beginning) *machine
		days map[string]uint64
	}{
		{"a new ledger in 1970", func(begin beginning) *machine {
			m := begin(noon, in1970)
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-24": 4}},
		{"a new ledger in 2046", func(begin beginning) *machine {
			m := begin(noon, 20*year)
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-24": 4}},
		{"booted in 1970", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(3*24*time.Hour, in1970)
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"days in 1970", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(0, in1970)
			m.count(2, 24*time.Hour)
			m.count(30, 24*time.Hour)
			m.wrong = 0
			m.count(2, time.Hour)
			return m
		}, func() map[string]uint64 {
			days := make(map[string]uint64)
			for n := range 33 {
				days[past.AddDate(0, 0, n).Format(time.DateOnly)] = 1
			}
			days["2026-12-23"] += 2
			return days
		}()},
		{"an agent restarted in 1970", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(3*24*time.Hour, in1970)
			m.count(1, time.Minute)
			m.restart()
			m.count(1, time.Minute)
			m.restart()
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"the clock was set while no agent ran", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(3*24*time.Hour, in1970)
			m.count(2, time.Minute)
			m.wrong = 0
			m.restart()
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"the same, and the boot's id is hidden", func(begin beginning) *machine {
			m := begin(past, 0)
			m.hidden = true
			m.restart()
			m.count(1, time.Minute)
			m.reboot(time.Hour, in1970)
			m.count(2, time.Minute)
			m.wrong = 0
			m.restart()
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 5}},
		{"the clock was never set in that boot", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(time.Hour, in1970)
			m.count(1, time.Minute)
			m.reboot(time.Hour, in1970)
			m.count(1, time.Minute)
			m.reboot(time.Hour, 0)
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 5}},
		{"a new ledger, and two boots in 1970", func(begin beginning) *machine {
			m := begin(past, in1970)
			m.count(1, time.Minute)
			m.reboot(time.Hour, in1970)
			m.count(1, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 4}},
		{"booted with the time of the shutdown", func(begin beginning) *machine { // as fake-hwclock does
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(3*24*time.Hour, -3*24*time.Hour)
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 4}},
		{"a date on which the ledger has usage", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(3, time.Minute)
			m.reboot(3*24*time.Hour, 0)
			m.count(25, time.Hour)
			m.reboot(time.Hour, past.Sub(noon)-26*time.Hour)
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 3, "2026-11-24": 11, "2026-11-25": 18}},
		{"2046 for a while", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(3*24*time.Hour, 0)
			m.count(1, time.Minute)
			m.wrong = 20 * year
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 1, "2026-11-24": 5}},
		{"2046 after weeks of the right time", func(begin beginning) *machine {
			m := begin(noon.AddDate(0, 0, -10), 0)
			m.count(10, 24*time.Hour)
			m.wrong = 20 * year
			m.count(2, time.Minute)
			m.restart()
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{
			"2026-11-15": 1, "2026-11-16": 1, "2026-11-17": 1, "2026-11-18": 1, "2026-11-19": 1,
			"2026-11-20": 1, "2026-11-21": 1, "2026-11-22": 1, "2026-11-23": 1, "2026-11-24": 7,
		}},
		{"booted in 2046, and with the right time", func(begin beginning) *machine {
			m := begin(past, 0)
			m.count(1, time.Minute)
			m.reboot(time.Hour, 20*year)
			m.count(2, time.Minute)
			m.reboot(time.Hour, 0)
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-21": 5}},
		{"a long stop is not a wrong clock", func(begin beginning) *machine {
			m := begin(noon.AddDate(-1, 0, 0), 0)
			m.count(2, time.Minute)
			m.reboot(year, 0)
			m.count(2, time.Minute)
			m.restart()
			m.count(2, time.Minute)
			m.reboot(2*24*time.Hour, 0)
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2025-11-24": 2, "2026-11-24": 4, "2026-11-26": 2}},
		{"booted at the begin of a month, late in an hour of 1970", func(begin beginning) *machine {
			began := time.Date(2026, 12, 1, 0, 10, 0, 0, time.UTC)
			m := begin(began, time.Unix(50*60, 0).Sub(began))
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-12-01": 4}},
		{"a correction of less than a day moves nothing", func(begin beginning) *machine {
			m := begin(noon, -20*time.Hour)
			m.count(2, time.Minute)
			m.wrong = 0
			m.count(2, time.Minute)
			return m
		}, map[string]uint64{"2026-11-23": 2, "2026-11-24": 2}},
	}
	needsID := map[string]bool{"the clock was set while no agent ran": true, "booted with the time of the shutdown": true}
	for _, test := range tests {
		for _, hidden := range []bool{false, true} {
			if hidden && needsID[test.name] {
				continue
			}
			t.Run(fmt.Sprintf("%s, hidden: %t", test.name, hidden), func(t *testing.T) {
				m := test.do(func(now time.Time, wrong time.Duration) *machine { return newMachine(t, now, wrong, hidden) })
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

// TestGainsOfAWrongClock saves readings of before and after the clock was set at
// once.
func TestGainsOfAWrongClock(t *testing.T) {
	m := newMachine(t, noon, in1970, false)
	m.count(1, time.Minute)
	m.now = m.now.Add(time.Minute)
	early := m.now.Add(m.wrong)
	m.wrong = 0
	m.now = m.now.Add(time.Minute)
	state := stateAt(1, 1)
	for i := range state.Accounts {
		key := state.Accounts[i].Key
		key.Port, state.Accounts[i].Key.Port = 20001, 20001
		for _, at := range []time.Time{early, m.now} {
			state.Gains = append(state.Gains, accounting.Gain{Time: at, Key: key, Count: accounting.Count{Bytes: 500}})
		}
	}
	save(t, m.store, state)
	for _, row := range recorded(t, m.directory, usage.ByHour).Rows {
		if !row.Start.Equal(noon) {
			t.Errorf("got usage of %s, want only of %s", row.Start, noon)
		}
	}
	wantSound(t, m.directory)
}

// TestGainOfAClockThatWasSetBack reads once while the clock is wrong.
func TestGainOfAClockThatWasSetBack(t *testing.T) {
	m := newMachine(t, noon, 0, false)
	m.count(1, time.Minute)
	state := stateAt(1, 1)
	for i := range state.Accounts {
		key := state.Accounts[i].Key
		key.Port, state.Accounts[i].Key.Port = 20001, 20001
		state.Gains = append(state.Gains, accounting.Gain{Time: m.now.Add(20 * year), Key: key, Count: state.Accounts[i].Total})
	}
	m.now = m.now.Add(time.Minute)
	save(t, m.store, state)
	for _, row := range recorded(t, m.directory, usage.ByHour).Rows {
		if !row.Start.Equal(noon) {
			t.Errorf("got usage of %s, want only of %s", row.Start, noon)
		}
	}
}
