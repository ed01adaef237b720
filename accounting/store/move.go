package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
)

// movement is the usage that was moved because the clock was set.
type movement struct {
	jump     int64 // by how many seconds
	usage    bool  // whether any usage moved
	from, to int64 // since when it was booked, and since when it is now
	in, out  int64 // bytes
}

// advance goes on to now, moves the usage that follows the clock if that was set,
// and gives the gains the times at which they were read.
func (s *saving) advance(now instant) error {
	s.clock = s.saved.clock
	if s.started != nil {
		if s.started.boot == "" {
			s.boot = s.clock.bootAt(*s.started)
			s.started.boot, now.boot = s.boot, s.boot
		}
		if _, err := s.adjust(*s.started); err != nil {
			return err
		}
	}
	was := s.clock
	adjusted, err := s.adjust(now)
	misread := func(gain accounting.Gain) bool { // the clock was set and set back since the last save
		return gain.Time.Unix() > max(was.wall, s.clock.wall)+secondsPerDay
	}
	if err == nil && (adjusted.jump != 0 || slices.ContainsFunc(s.gains, misread)) {
		s.gains = retime(s.gains, was, s.clock, adjusted.move)
	}
	return err
}

// adjust goes on to an instant.
func (s *saving) adjust(to instant) (a adjustment, err error) {
	began := s.clock.began
	a = s.clock.advance(to, s.options.KeepHours)
	m := movement{jump: a.jump}
	if a.move != 0 {
		if m, err = s.move(a.move, began); err != nil {
			return a, err
		}
	}
	if m.jump != 0 {
		s.moves = append(s.moves, m)
	}
	if !a.fresh {
		return a, nil
	}
	clear(s.saved.starts)
	return a, s.db.runAll("delete from recent_hour", "delete from early")
}

// runAll executes statements until one fails.
func (db *database) runAll(texts ...string) error {
	for _, text := range texts {
		if err := db.run(text, nil); err != nil {
			return err
		}
	}
	return nil
}

// track records that the usage of an hour follows the clock, with what the hour
// contains already.
func (b *booking) track() error {
	if b.clock.began == 0 {
		return nil
	}
	db, hour := b.db, b.starts[hourPeriod].at
	known, err := db.value("select count(*) from recent_hour where start = ?", hour)
	if err != nil || known > 0 {
		return err
	}
	if err := db.run("insert into recent_hour values (?, ?, ?)", nil, hour, b.starts[dayPeriod].at, b.starts[monthPeriod].at); err != nil {
		return err
	}
	return db.run(`insert into early select start, tenure, protocol, packets_in, bytes_in, packets_out, bytes_out
		from usage where period = 0 and start = ?`, nil, hour)
}

// The steps of moving. moving is the usage that follows the clock, target where
// each of its hours goes.
var (
	beginMove = []string{
		`create temp table if not exists moving (start, tenure, protocol, packets_in, bytes_in, packets_out, bytes_out)`,
		`create temp table if not exists target (start integer primary key, hour, day, month)`,
		`delete from moving`, `delete from target`,
		`insert into moving select u.start, u.tenure, u.protocol, u.packets_in - coalesce(e.packets_in, 0), u.bytes_in - coalesce(e.bytes_in, 0),
			u.packets_out - coalesce(e.packets_out, 0), u.bytes_out - coalesce(e.bytes_out, 0)
			from usage u join recent_hour r on r.start = u.start
			left join early e on e.start = u.start and e.tenure = u.tenure and e.protocol = u.protocol where u.period = 0`,
	}
	takeOut = []string{
		`delete from usage where period = 0 and start in (select start from recent_hour)`,
		`insert into usage select 0, start, tenure, protocol, packets_in, bytes_in, packets_out, bytes_out from early`,
		sumOf("-", "1, r.day", "recent_hour"), sumOf("-", "2, r.month", "recent_hour"),
	}
	putIn = []string{
		`delete from early`,
		`insert into early select start, tenure, protocol, packets_in, bytes_in, packets_out, bytes_out
			from usage where period = 0 and start in (select hour from target)`,
		sumOf("", "0, r.hour", "target"), sumOf("", "1, r.day", "target"), sumOf("", "2, r.month", "target"),
		`delete from usage where period > 0 and packets_in = 0 and bytes_in = 0 and packets_out = 0 and bytes_out = 0
			and start in (select day from recent_hour union select month from recent_hour)`,
		`delete from period where start in (select start from recent_hour union select day from recent_hour union select month from recent_hour)
			and not exists (select 1 from usage where usage.period = period.period and usage.start = period.start)`,
		`delete from recent_hour`,
		`insert or ignore into recent_hour select hour, day, month from target`,
		`delete from moving`, `delete from target`,
	}
)

// sumOf adds what moves to the rows of a period, or takes it from them.
func sumOf(sign, period, places string) string {
	return fmt.Sprintf(`insert into usage select %[2]s, tenure, protocol,
		%[1]ssum(packets_in), %[1]ssum(bytes_in), %[1]ssum(packets_out), %[1]ssum(bytes_out)
		from moving m join %[3]s r on r.start = m.start where true group by 1, 2, 3, 4 %[4]s`, sign, period, places, addToRow)
}

// move moves the usage that follows the clock by so many seconds, to the hour, the
// day and the month in which each of its hours began. What was added to an hour
// never moves to a time before began or after now.
func (s *saving) move(seconds, began int64) (done movement, err error) {
	if err := s.db.runAll(beginMove...); err != nil {
		return done, err
	}
	var recent []int64
	done = movement{jump: seconds, from: began, to: began + seconds}
	if err := s.db.run("select start from recent_hour", func(row *sqlite3.Stmt) error {
		recent = append(recent, row.ColumnInt64(0))
		return nil
	}); err != nil {
		return done, err
	}
	if err := s.db.run("select coalesce(sum(bytes_in), 0), coalesce(sum(bytes_out), 0) from moving", func(row *sqlite3.Stmt) error {
		done.in, done.out = row.ColumnInt64(0), row.ColumnInt64(1)
		return nil
	}); err != nil {
		return done, err
	}
	if err := s.db.runAll(takeOut...); err != nil {
		return done, err
	}
	clear(s.saved.starts)
	book := booking{saving: s}
	for _, hour := range recent {
		at := min(max(hour, began)+seconds, s.clock.wall)
		if _, err := book.enter(time.Unix(at, 0)); err != nil {
			return done, err
		}
		if err := s.db.run("insert into target values (?, ?, ?, ?)", nil, hour, book.starts[hourPeriod].at, book.starts[dayPeriod].at, book.starts[monthPeriod].at); err != nil {
			return done, err
		}
	}
	if err := s.db.runAll(putIn...); err != nil {
		return done, err
	}
	clear(s.saved.starts)
	done.usage = done.in+done.out > 0
	return done, s.moveTimes(seconds, began)
}

// moveTimes moves the beginnings and ends of tenures, the ends of gaps, and the times at which tables
// were left.
func (s *Store) moveTimes(seconds, began int64) error {
	for _, text := range []string{
		"update tenure set since = since + ?1 where since between ?2 and ?3",
		"update tenure set until = until + ?1 where until between ?2 and ?3",
		"update gap set until = until + ?1 where until between ?2 and ?3",
		"update former set left = left + ?1 where left between ?2 and ?3",
	} {
		if err := s.db.run(text, nil, seconds, began, s.saved.clock.wall+secondsPerDay); err != nil {
			return err
		}
	}
	return nil
}

// retime returns the gains with the times that their readings would have had if
// the clock had been right. They were read between the last save and now, before or
// after the clock was set.
func retime(gains []accounting.Gain, was, now clock, move int64) []accounting.Gain {
	elapsed := max(now.uptime-was.uptime, 0)
	apart := func(t, from int64) int64 { return max(from-t, t-(from+elapsed), 0) }
	retimed := slices.Clone(gains)
	for i := range retimed {
		at := retimed[i].Time.Unix()
		if apart(at, was.wall) < apart(at, now.wall-elapsed) {
			at += move
		}
		if at > now.wall+tolerance && at > was.wall+elapsed+tolerance {
			at = now.wall
		}
		retimed[i].Time = time.Unix(at, 0)
	}
	return retimed
}

// noteMoves reports what a save has moved.
func (s *Store) noteMoves(moves []movement) {
	in := func(at int64) string { return time.Unix(at, 0).In(s.calendar.Zone).Format(time.RFC3339) }
	for _, m := range moves {
		direction := "forward"
		if m.jump < 0 {
			direction = "back"
		}
		text := fmt.Sprintf("the clock was set %s by %s, to %s", direction, time.Duration(abs(m.jump))*time.Second, in(s.saved.clock.wall))
		if m.usage {
			text += fmt.Sprintf("; what was booked since %s, %d bytes in and %d out, is now usage of the time since %s", in(m.from), m.in, m.out, in(m.to))
		}
		s.note(false, "%s; usage is deleted by this time only when it has held", text)
	}
}
