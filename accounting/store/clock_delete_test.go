package store

import (
	"testing"
	"time"

	"ssmonitor/accounting/usage"
)

// history fills 40 days, one packet a day, before now.
func (m *machine) history() {
	m.count(40, 24*time.Hour)
}

func (m *machine) kept(by usage.Period) int {
	return len(recorded(m.t, m.directory, by).Rows)
}

// TestAWrongClockDeletesNothing saves by a clock in 2046, in which usage is older
// than it is kept.
func TestAWrongClockDeletesNothing(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		for _, reboots := range []bool{false, true} {
			m := newMachine(t, noon, 0, false)
			m.history()
			if reboots {
				m.reboot(time.Hour, 20*year)
			}
			m.wrong = 20 * year
			for range 29 {
				if restarts {
					m.restart()
				}
				m.count(4, 6*time.Hour)
			}
			m.wrong = 0
			m.count(1, time.Hour)
			for by, least := range map[usage.Period]int{usage.ByHour: 40 + 29*4 - 2, usage.ByDay: 40 + 29 - 2} {
				if got := m.kept(by); got < least {
					t.Errorf("restarts: %t, reboots: %t: got %d periods by %s, want %d", restarts, reboots, got, by, least)
				}
			}
			if !reboots {
				m.wantLog("the clock was set forward by 175200h0m0s", "the clock was set back by 175200h0m0s")
			}
		}
	}
}

// TestAClockThatHasHeldDeletes has a year in which the machine was off.
func TestAClockThatHasHeldDeletes(t *testing.T) {
	m := newMachine(t, noon, 0, false)
	m.history()
	m.reboot(3*year, 0)
	m.count(29, 24*time.Hour)
	if got := m.kept(usage.ByDay); got != 40+29 {
		t.Errorf("after 29 days: got %d days, want 69", got)
	}
	m.count(2*24, time.Hour)
	m.count(60, time.Minute)
	for by, most := range map[usage.Period]int{usage.ByHour: 29 + 2*24 + 3, usage.ByDay: 33} {
		if got := m.kept(by); got > most {
			t.Errorf("after a month: got %d periods by %s, want %d", got, by, most)
		}
	}
	wantSound(t, m.directory)
}

// TestDeletionKeepsUp has a machine that is off each night and each weekend, so that
// its clock is never right by the time that it runs.
func TestDeletionKeepsUp(t *testing.T) {
	m := newMachine(t, noon, 0, false)
	for range 40 {
		for range 5 {
			m.count(2, 4*time.Hour)
			m.reboot(16*time.Hour, 0)
		}
		m.count(10, time.Minute)
		m.reboot(48*time.Hour, 0)
	}
	oldest := recorded(t, m.directory, usage.ByHour).Rows[0].Start
	if age := m.now.Sub(oldest); age > 220*24*time.Hour {
		t.Errorf("the oldest hour is %s ago", age)
	}
	wantSound(t, m.directory)
}

// TestCommandsDeleteNoUsage saves usage that is older than the agent keeps it, without
// a retention time.
func TestCommandsDeleteNoUsage(t *testing.T) {
	directory := t.TempDir()
	for n, ago := range []int{10 * 365, 10*365 - 1, 0, 0} {
		s, _, _ := openWith(t, directory, Options{Holder: "test", Now: func() time.Time { return time.Now().AddDate(0, 0, -ago) }})
		save(t, s, stateAt(uint64(n+1), 1))
		closeStore(t, s)
	}
	for _, by := range []usage.Period{usage.ByHour, usage.ByDay} {
		if rows := recorded(t, directory, by).Rows; len(rows) != 2*3 { // of TCP and UDP
			t.Errorf("by %s: got %d rows, want 6", by, len(rows))
		}
	}
}
