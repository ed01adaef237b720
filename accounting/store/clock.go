package store

import (
	"cmp"
	"crypto/rand"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
)

const (
	secondsPerDay = 24 * 60 * 60 // seconds
	// earliest is a time before this program existed: a clock that shows an
	// earlier one has not been set.
	earliest = 1577836800 // 2020-01-01
	// tolerance is how much a clock may be corrected without being doubted.
	tolerance = 60 * 60
	// longStop is the longest stop after which a clock is believed as soon as it
	// has held for holdDay. A clock that shows a longer one has to hold for
	// holdMonth.
	longStop  = 30 * secondsPerDay
	holdDay   = secondsPerDay
	holdMonth = 30 * secondsPerDay
	// settleAfter is how long usage follows the clock, unless it is kept for a
	// shorter time.
	settleAfter = 7 * secondsPerDay
)

// instant is what the clocks of a machine show.
type instant struct {
	boot   string // which boot of which machine; empty or a name of its own if its id is not known
	wall   int64  // seconds since 1970
	uptime int64  // seconds since the boot, in which the machine may have slept
}

// clock is what the ledger knows of the time. It compares the wall clock, which
// can be set, with the time since boot, which can't.
type clock struct {
	instant // of the last save
	// trusted is the time by which usage is deleted. It goes on while the agent
	// runs, and is set by the wall clock only when that has held. 0: unknown.
	trusted int64
	held    int64 // for so many seconds the agent has run with the same difference of the two
	// began is the wall clock's time since which the usage follows the clock: if
	// it is set, that usage moves. 0: no usage does.
	began int64
	ran   int64 // for so many seconds the agent has run since then
}

// adjustment is what follows from a clock that was set.
type adjustment struct {
	jump  int64 // by how many seconds; 0: it was not
	move  int64 // by how many seconds the usage since began moves
	fresh bool  // from now on other usage follows the clock, or none
}

// advance goes on to another instant. keep is how long usage by hour is kept.
func (c *clock) advance(now instant, keep time.Duration) (a adjustment) {
	if *c == (clock{}) {
		*c = clock{instant: now, began: max(now.wall, 1)} // 0 means something else
		return a
	}
	elapsed, same := c.elapsed(now)
	step := now.wall - c.wall - elapsed
	wasAhead := c.ahead()
	if c.trusted != 0 {
		c.trusted += elapsed
	}
	if same {
		a = c.set(step, now)
	} else {
		a = c.restart(step, wasAhead, now)
	}
	if same && abs(step) > tolerance {
		c.held = 0
	}
	c.instant = now
	c.ran += elapsed
	c.believe(elapsed)
	if c.began != 0 && c.ran >= min(settleAfter, int64(keep/time.Second)) && abs(c.ahead()) <= secondsPerDay && c.wall >= earliest {
		if c.trusted == 0 {
			c.trusted = c.wall
		}
		c.began, a.fresh = 0, true
	}
	return a
}

// elapsed returns for how many seconds the machine has certainly run since the
// last save, and whether it is the same boot.
func (c *clock) elapsed(now instant) (seconds int64, same bool) {
	const precision = 60
	same = c.boot == now.boot && now.uptime >= c.uptime
	if c.boot != now.boot && (unidentified(c.boot) || unidentified(now.boot)) {
		same = c.uptime > 0 && now.uptime >= c.uptime && abs((now.wall-now.uptime)-(c.wall-c.uptime)) <= precision
	}
	if !same {
		return 0, false
	}
	return now.uptime - c.uptime, true
}

// unnamed begins the name of a boot whose id could not be read.
const unnamed = "?"

func unidentified(boot string) bool { return boot == "" || strings.HasPrefix(boot, unnamed) }

// bootAt returns a name for the boot at an instant at which its id can't be read:
// that of the last save, if it was the same boot, or a new one. By this name a process
// knows that it is still the same boot when the clock is set.
func (c *clock) bootAt(now instant) string {
	if _, same := c.elapsed(now); same && c.boot != "" {
		return c.boot
	}
	return unnamed + rand.Text()
}

// ahead returns how far the wall clock was ahead of the trusted time at the last
// save.
func (c *clock) ahead() int64 {
	if c.trusted == 0 {
		return 0
	}
	return c.wall - c.trusted
}

// set handles a clock that was set by step since the last save in this boot.
func (c *clock) set(step int64, now instant) (a adjustment) {
	if abs(step) <= secondsPerDay {
		return a
	}
	a.jump = step
	if c.began != 0 {
		a.move, c.began = step, c.began+step
	} else {
		a.fresh, c.began, c.ran = true, now.wall, 0
	}
	return a
}

// restart handles another boot, before which the machine was off for an unknown
// time: for step, if both the old and the new clock are right.
func (c *clock) restart(step, wasAhead int64, now instant) (a adjustment) {
	if step < -secondsPerDay || step > longStop {
		a.jump, c.held = step, 0
	}
	unset := c.wall < earliest
	wrong := unset || abs(wasAhead) > secondsPerDay || (c.trusted == 0 && step < -secondsPerDay && now.wall >= earliest)
	better := now.wall >= earliest && (unset || c.trusted == 0) || c.trusted != 0 && abs(now.wall-c.trusted) < abs(wasAhead)-secondsPerDay
	if wrong && !better { // as wrong as before, perhaps in another way
		if c.began != 0 && a.jump != 0 {
			a.move, c.began = step, c.began+step
		}
		return a
	}
	if wrong && c.began != 0 {
		a.move = -wasAhead
		if c.trusted < earliest {
			a.move = step
		}
	}
	if !wrong && c.trusted == 0 {
		c.trusted = c.wall
	}
	a.fresh, c.began, c.ran = true, now.wall, 0
	return a
}

// believe sets the trusted time by the wall clock if that has held.
func (c *clock) believe(elapsed int64) {
	if c.trusted == 0 {
		return
	}
	need := int64(holdDay)
	if abs(c.ahead()) > longStop {
		need = holdMonth
	}
	c.held += elapsed
	if abs(c.ahead()) <= tolerance || c.held >= need || (c.trusted < earliest && c.wall >= earliest) {
		c.trusted, c.held = c.wall, 0
	}
}

// deleteBefore returns the time by which usage may be deleted: the earlier one of
// both clocks. ok is false if there is none yet.
func (c *clock) deleteBefore() (t time.Time, ok bool) {
	return time.Unix(min(c.wall, c.trusted), 0), c.trusted != 0
}

// best returns the most plausible time.
func (c *clock) best() int64 {
	if c.trusted != 0 {
		return c.trusted
	}
	return c.wall
}

func abs(n int64) int64 { return max(n, -n) }

// instant reads the clocks.
func (s *Store) instant() instant {
	now := s.options.Now()
	return instant{s.boot, now.Unix(), int64(s.options.uptime() / time.Second)}
}

// setClocks sets the clocks that the options leave to the kernel. A test's clock
// is also its time since boot, so that it is never set.
func (o *Options) setClocks() {
	switch now := o.Now; {
	case o.uptime != nil:
	case now != nil:
		o.uptime = func() time.Duration { return time.Duration(now().Unix()) * time.Second }
	default:
		o.uptime, o.Boot = uptime, cmp.Or(o.Boot, bootID())
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// uptime returns the time since boot, including the time in which the machine
// slept: sysinfo(2).
func uptime() time.Duration {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 0
	}
	return time.Duration(info.Uptime) * time.Second
}

// bootID returns what distinguishes this boot from others, as systemd writes it, or
// nothing where the file is hidden, as ProcSubset=pid of systemd does.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(string(id)), "-", "")
}

// clock returns the clock of the last save.
func (db *database) clock() (c clock, err error) {
	err = db.run("select boot, saved, uptime, trusted, held, began, ran from ledger", func(row *sqlite3.Stmt) error {
		c = clock{
			instant: instant{row.ColumnText(0), row.ColumnInt64(1), row.ColumnInt64(2)},
			trusted: row.ColumnInt64(3), held: row.ColumnInt64(4), began: row.ColumnInt64(5), ran: row.ColumnInt64(6),
		}
		return nil
	})
	return c, err
}
