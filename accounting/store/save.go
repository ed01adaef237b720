package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
)

// periodKey is the primary key of the table period.
type periodKey struct {
	period int64 // index of periods
	at     int64 // seconds since 1970
}

// addToRow is the end of a statement that inserts usage: it adds to a row that exists.
const addToRow = `on conflict do update set packets_in = packets_in + excluded.packets_in, bytes_in = bytes_in + excluded.bytes_in,
	packets_out = packets_out + excluded.packets_out, bytes_out = bytes_out + excluded.bytes_out`

// usageRow is usage to be added to a row of the database.
type usageRow struct {
	periodKey
	counts [2]accounting.Count // in, out
}

// saving is a save in progress. What it has found out counts once it is committed.
type saving struct {
	*Store
	now   time.Time         // by the wall clock
	clock clock             // as of this save
	moves []movement        // of usage, because the clock was set
	gains []accounting.Gain // since the last save, with the times at which they were read
}

// save writes what has changed, in one transaction. written reports whether there was
// anything.
func (s *Store) save(changed accounting.State) (written bool, err error) {
	endsGap := s.saved.gapOpen && (changed.Read || len(changed.Accounts) > 0)
	if len(changed.Accounts) == 0 && len(changed.Formers) == 0 && !endsGap && len(s.renamed())+len(s.ended()) == 0 {
		return false, nil
	}
	err = s.transact(changed.Gains, func(current *saving) error {
		if err := s.rename(current.now); err != nil {
			return err
		}
		if s.calendar != s.saved.calendar {
			if err := s.db.setCalendar(s.calendar, current.now); err != nil {
				return err
			}
		}
		if err := current.bookChanges(changed.Accounts, endsGap); err != nil {
			return err
		}
		if err := s.leave(changed.Formers, time.Unix(current.clock.best(), 0)); err != nil {
			return err
		}
		return current.prune()
	})
	if err != nil {
		return false, err
	}
	s.saved.accounts.set(changed)
	s.saved.calendar = s.calendar
	s.saved.gapOpen = s.saved.gapOpen && !endsGap
	return true, nil
}

// transact makes a change in a transaction, which counts as a save.
func (s *Store) transact(gains []accounting.Gain, change func(*saving) error) error {
	now := s.instant()
	current := &saving{Store: s, now: time.Unix(now.wall, 0), gains: gains}
	err := inTransaction(s.db.Conn.Conn, func() error {
		if s.uncertain {
			if err := s.reload(); err != nil {
				return err
			}
		}
		if err := current.advance(now); err != nil {
			return err
		}
		if err := change(current); err != nil {
			return err
		}
		next := &current.clock
		return s.db.run("update ledger set saves = ?, saved = ?, boot = ?, uptime = ?, trusted = ?, held = ?, began = ?, ran = ?", nil,
			s.saved.saves+1, next.wall, next.boot, next.uptime, next.trusted, next.held, next.began, next.ran)
	})
	if err != nil {
		s.uncertain = true
		return err
	}
	s.saved.saves++
	s.saved.clock, s.started = current.clock, nil
	s.noteMoves(current.moves)
	return nil
}

// bookChanges writes the accounts and books what each of them has gained. The gain is the
// difference between its total and the one in the database, regardless of the
// gains that were read: a save that failed may have been written nevertheless.
func (s *saving) bookChanges(changed []accounting.Account, endsGap bool) error {
	gains, newest := s.gains, newestOf(s.gains, s.now)
	book := booking{saving: s}
	for i := range changed {
		account := &changed[i]
		var own []accounting.Gain
		own, gains = cutGains(gains, account.Key)
		if err := book.account(account, own, newest); err != nil {
			return err
		}
		if err := s.db.run(`insert into account values (?, ?, ?, ?, ?, ?, ?, ?, ?)
			on conflict do update set packets = excluded.packets, bytes = excluded.bytes, last_packets = excluded.last_packets,
			last_bytes = excluded.last_bytes, epoch = excluded.epoch, handle = excluded.handle`, nil,
			int64(account.Key.Port), int64(account.Key.Protocol), int64(account.Key.Direction),
			int64(account.Total.Packets), int64(account.Total.Bytes), int64(account.Last.Packets), int64(account.Last.Bytes),
			account.Epoch[:], int64(account.Handle)); err != nil {
			return err
		}
	}
	if err := book.flush(); err != nil {
		return err
	}
	if !endsGap {
		return nil
	}
	in, out := book.sums[accounting.In], book.sums[accounting.Out]
	return s.db.run("update gap set until = ?, packets_in = ?, bytes_in = ?, packets_out = ?, bytes_out = ? where until is null", nil,
		newest.Unix(), int64(in.Packets), int64(in.Bytes), int64(out.Packets), int64(out.Bytes))
}

// booking collects the usage of one port and protocol, whose two accounts follow
// one another, and writes it.
type booking struct {
	*saving
	key    accounting.Key // without the direction
	rows   []usageRow
	sums   [2]accounting.Count     // of all accounts, by direction
	at     time.Time               // of the last gain
	starts [len(periods)]periodKey // the periods that contain at
}

// account books the gain of an account.
func (b *booking) account(account *accounting.Account, gains []accounting.Gain, newest time.Time) error {
	saved := b.saved.accounts.get(account.Key).Total
	if account.Total.Packets < saved.Packets || account.Total.Bytes < saved.Bytes {
		return fmt.Errorf("the total of %s is %d bytes, less than the %d that are saved: restart ssmonitor", account.Key, account.Total.Bytes, saved.Bytes)
	}
	key := account.Key
	key.Direction = 0
	if key != b.key {
		if err := b.flush(); err != nil {
			return err
		}
		b.key = key
	}
	rest := account.Total.Minus(saved)
	direction := account.Key.Direction
	b.sums[direction] = b.sums[direction].Plus(rest)
	return distribute(rest, gains, newest, func(at time.Time, part accounting.Count) error {
		return b.add(at, direction, part)
	})
}

func (b *booking) add(at time.Time, direction accounting.Direction, count accounting.Count) error {
	if count == (accounting.Count{}) {
		return nil
	}
	if b.at.IsZero() || !at.Equal(b.at) {
		newHour, err := b.enter(at)
		if err == nil && newHour {
			err = b.track()
		}
		if err != nil {
			return err
		}
	}
	for _, period := range b.starts {
		i := slices.IndexFunc(b.rows, func(row usageRow) bool { return row.periodKey == period })
		if i < 0 {
			i = len(b.rows)
			b.rows = append(b.rows, usageRow{periodKey: period})
		}
		b.rows[i].counts[direction] = b.rows[i].counts[direction].Plus(count)
	}
	return nil
}

// enter sets the periods that contain a time, and adds new ones to the database.
func (b *booking) enter(at time.Time) (newHour bool, err error) {
	for i, period := range periods {
		first, until := b.calendar.Bounds(period, at)
		key := periodKey{int64(i), first.Unix()}
		if !b.saved.starts[key] {
			if err := b.db.run("insert into period values (?, ?, ?, ?) on conflict do update set until = excluded.until, label = excluded.label", nil,
				key.period, key.at, until.Unix(), first.Format(labels[i])); err != nil {
				return false, err
			}
			b.saved.starts[key] = true
			newHour = newHour || i == hourPeriod
		}
		b.starts[i] = key
	}
	b.at = at
	return newHour, nil
}

// flush writes the usage of the port and protocol.
func (b *booking) flush() error {
	if len(b.rows) == 0 {
		return nil
	}
	tenure, err := b.tenureOf(b.key.Port, b.now)
	if err != nil {
		return err
	}
	for i := range b.rows {
		row := &b.rows[i]
		in, out := row.counts[accounting.In], row.counts[accounting.Out]
		if err := b.db.run(`insert into usage values (?, ?, ?, ?, ?, ?, ?, ?)
			`+addToRow, nil,
			row.period, row.at, tenure, int64(b.key.Protocol),
			int64(in.Packets), int64(in.Bytes), int64(out.Packets), int64(out.Bytes)); err != nil {
			return err
		}
	}
	b.rows = b.rows[:0]
	return nil
}

// pruneStatements delete the usage of a period, and add it to what was deleted before.
var pruneStatements = [...]string{
	`insert into pruned
		select period, port, protocol, sum(packets_in), sum(bytes_in), sum(packets_out), sum(bytes_out)
		from usage join tenure on tenure.id = usage.tenure
		where period = ? and start = ? group by period, port, protocol
		` + addToRow,
	"delete from usage where period = ? and start = ?",
	"delete from period where period = ? and start = ?",
}

// prune deletes the oldest hour and the oldest day if their retention time is
// over, except those whose usage follows the clock. It deletes only one of each per
// save, so that no save takes long.
func (s *saving) prune() error {
	now, known := s.clock.deleteBefore()
	if !known {
		return nil
	}
	for period, keep := range [...]time.Duration{hourPeriod: s.options.KeepHours, dayPeriod: s.options.KeepDays} {
		period := int64(period)
		if now.Before(s.saved.oldest[period]) {
			continue
		}
		first, until := int64(0), int64(0)
		err := s.db.run(`select start, until from period where period = ?
			and start not in (select start from recent_hour union select day from recent_hour) order by start limit 1`, func(row *sqlite3.Stmt) error {
			first, until = row.ColumnInt64(0), row.ColumnInt64(1)
			return nil
		}, period)
		if err != nil {
			return err
		}
		if due := time.Unix(until, 0).Add(keep); until == 0 || now.Before(due) {
			s.saved.oldest[period] = due
			if until == 0 {
				s.saved.oldest[period] = now.Add(min(keep, time.Hour))
			}
			continue
		}
		for _, statement := range pruneStatements {
			if err := s.db.run(statement, nil, period, first); err != nil {
				return err
			}
		}
		delete(s.saved.starts, periodKey{period, first})
	}
	return nil
}
