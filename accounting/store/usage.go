package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// History is the recorded usage in a state directory, whether an agent runs or not.
type History struct{ Directory string }

// View implements [usage.History]. It opens and closes the database, so that an idle reader
// delays no save, and takes no lock that a save waits for. It fails with fs.ErrNotExist if
// nothing has been saved, with ErrDamaged, with a *NewerError, with the error of read, and
// with that of ctx, whose end interrupts it.
func (h History) View(ctx context.Context, read func(usage.Snapshot) error) error {
	err := view(filepath.Join(h.Directory, databaseName), "", openToRead, func(db *database) error {
		db.deadline.caller = ctx
		return read(readSnapshot{db})
	})
	if ctx.Err() != nil {
		err = ctx.Err() // SQLite says that it was interrupted
	}
	return readingError("the usage", h.Directory, err)
}

// readSnapshot is a database in a transaction that only reads.
type readSnapshot struct{ db *database }

func (s readSnapshot) Calendar() (usage.Calendar, error) { return s.db.calendar() }

func (s readSnapshot) Usage(query usage.Query) (*usage.Records, error) { return s.db.usage(query) }

func (s readSnapshot) Clients() ([]usage.Client, error) { return s.db.portClients() }

// readingError explains why something could not be read, and what to do.
func readingError(what, directory string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("nothing has been saved in %s yet: %w", directory, err)
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("reading %s: %w; restart ssmonitor, which then continues from its backup", what, err)
	}
	return fmt.Errorf("reading %s: %w", what, err)
}

// owner is a tenure as a query sees it.
type owner struct {
	name string
	port uint16
	rank int  // place in the order of names and ports, which equal tenures share
	skip bool // not selected by the query
}

func (db *database) usage(query usage.Query) (*usage.Records, error) {
	calendar, err := db.calendar()
	if err != nil {
		return nil, err
	}
	records := &usage.Records{Query: query}
	owners, err := db.owners(query)
	if err != nil {
		return nil, err
	}
	if records.Gaps, err = db.gaps(query, calendar.Zone); err != nil {
		return nil, err
	}
	if query.By == usage.ByTotal {
		records.Rows, err = db.total(query, calendar, owners)
		return records, err
	}
	period := slices.Index(periods[:], query.By)
	if period < 0 {
		_, err := usage.ParsePeriod(string(query.By))
		return nil, err
	}
	since, until := bounds(query)
	records.Rows, err = db.rows(period, since, until, calendar.Zone, owners)
	return records, err
}

// bounds returns the range of seconds in which the periods of a query begin. The
// end is not part of it.
func bounds(query usage.Query) (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64
	if !query.Since.IsZero() {
		since = ceil(query.Since)
	}
	if !query.Until.IsZero() {
		until = ceil(query.Until)
	}
	return since, until
}

func ceil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// owners returns all tenures by their id.
func (db *database) owners(query usage.Query) (map[int64]*owner, error) {
	owners := make(map[int64]*owner)
	err := db.run("select id, name, port from tenure", func(row *sqlite3.Stmt) error {
		o := &owner{name: row.ColumnText(1), port: uint16(row.ColumnInt64(2))}
		o.skip = len(query.Clients) > 0 && !slices.Contains(query.Clients, usage.ClientOf(o.name, o.port)) ||
			len(query.Ports) > 0 && !slices.Contains(query.Ports, o.port)
		owners[row.ColumnInt64(0)] = o
		return nil
	})
	if err != nil {
		return nil, err
	}
	sorted := make([]*owner, 0, len(owners))
	for _, o := range owners {
		sorted = append(sorted, o)
	}
	slices.SortFunc(sorted, func(a, b *owner) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.port, b.port)) })
	for i, o := range sorted {
		o.rank = i
		if i > 0 && sorted[i-1].name == o.name && sorted[i-1].port == o.port {
			o.rank = sorted[i-1].rank
		}
	}
	return owners, nil
}

// ranked is a row with its place among those of the same period.
type ranked struct {
	rank int
	usage.Row
}

// rows returns the usage by hour, day or month.
func (db *database) rows(period int, since, until int64, zone *time.Location, owners map[int64]*owner) ([]usage.Row, error) {
	starts, err := db.value("select count(*) from period where period = ? and start >= ? and start < ?", int64(period), since, until)
	if err != nil {
		return nil, err
	}
	var rows []usage.Row
	var group []ranked
	err = db.run("select start, until from period where period = ? and start >= ? and start < ? order by start", func(found *sqlite3.Stmt) error {
		at := found.ColumnInt64(0)
		first, last := time.Unix(at, 0).In(zone), time.Unix(found.ColumnInt64(1), 0).In(zone)
		group = group[:0]
		err := db.run("select tenure, protocol, packets_in, bytes_in, packets_out, bytes_out from usage where period = ? and start = ?",
			func(row *sqlite3.Stmt) error {
				o := owners[row.ColumnInt64(0)]
				if o == nil {
					return damaged("usage of a client that does not exist")
				}
				if !o.skip {
					group = append(group, ranked{o.rank, usageRow(row, o, first, last)})
				}
				return nil
			}, int64(period), at)
		if rows == nil && period != hourPeriod { // other days and months have about as many rows
			rows = make([]usage.Row, 0, min(int(starts)*len(group), 1<<18))
		}
		rows = appendSorted(rows, group)
		return err
	}, int64(period), since, until)
	return rows, err
}

// usageRow reads a row whose columns begin with tenure and protocol.
func usageRow(row *sqlite3.Stmt, o *owner, start, end time.Time) usage.Row {
	return usage.Row{
		Start: start, End: end, Client: o.name, Port: o.port, Protocol: accounting.Protocol(row.ColumnInt64(1)),
		In:  accounting.Count{Packets: uint64(row.ColumnInt64(2)), Bytes: uint64(row.ColumnInt64(3))},
		Out: accounting.Count{Packets: uint64(row.ColumnInt64(4)), Bytes: uint64(row.ColumnInt64(5))},
	}
}

// appendSorted appends the rows of one period. It adds up the rows of a client
// that had the same port more than once.
func appendSorted(rows []usage.Row, group []ranked) []usage.Row {
	slices.SortFunc(group, func(a, b ranked) int {
		return cmp.Or(a.rank-b.rank, int(a.Protocol)-int(b.Protocol))
	})
	for i := range group {
		row := &group[i]
		if i > 0 && group[i-1].rank == row.rank && group[i-1].Protocol == row.Protocol {
			same := &rows[len(rows)-1]
			same.In, same.Out = same.In.Plus(row.In), same.Out.Plus(row.Out)
			continue
		}
		rows = append(rows, row.Row)
	}
	return rows
}

// total returns the usage of all periods together. It adds up the longest
// periods that the bounds of the query do not cut and that are still kept.
func (db *database) total(query usage.Query, calendar usage.Calendar, owners map[int64]*owner) ([]usage.Row, error) {
	period, err := db.divides(query, calendar)
	if err != nil {
		return nil, err
	}
	since, until := bounds(query)
	var first, last time.Time
	err = db.run("select min(start), max(until) from period where period = ? and start >= ? and start < ?", func(row *sqlite3.Stmt) error {
		first, last = time.Unix(row.ColumnInt64(0), 0).In(calendar.Zone), time.Unix(row.ColumnInt64(1), 0).In(calendar.Zone)
		return nil
	}, period, since, until)
	if err != nil {
		return nil, err
	}
	var group []ranked
	err = db.run(`select tenure, protocol, sum(packets_in), sum(bytes_in), sum(packets_out), sum(bytes_out) from usage
		where period = ? and start >= ? and start < ? group by tenure, protocol`, func(row *sqlite3.Stmt) error {
		o := owners[row.ColumnInt64(0)]
		if o == nil {
			return damaged("usage of a client that does not exist")
		}
		if !o.skip {
			group = append(group, ranked{o.rank, usageRow(row, o, first, last)})
		}
		return nil
	}, period, since, until)
	return appendSorted(nil, group), err
}

// divides returns the longest period that begins at both bounds of a query. If
// there is none, it returns hours, or days if hours of that time were deleted.
func (db *database) divides(query usage.Query, calendar usage.Calendar) (int64, error) {
	at := func(period usage.Period, t time.Time) bool {
		start, _ := calendar.Bounds(period, t)
		return t.IsZero() || start.Equal(t)
	}
	for period := monthPeriod; period > hourPeriod; period-- {
		if at(periods[period], query.Since) && at(periods[period], query.Until) {
			return int64(period), nil
		}
	}
	oldest, err := db.value("select coalesce(min(start), 0) from period where period = 0")
	if err != nil {
		return 0, err
	}
	pruned, err := db.value("select count(*) from pruned where period = 0")
	if err != nil || pruned == 0 || (!query.Since.IsZero() && query.Since.Unix() >= oldest) {
		return hourPeriod, err
	}
	return dayPeriod, nil
}

// gaps returns the gaps that overlap the time of the query.
func (db *database) gaps(query usage.Query, zone *time.Location) (gaps []usage.Gap, err error) {
	since, until := bounds(query)
	err = db.run(`select since, coalesce(until, saved), packets_in, bytes_in, packets_out, bytes_out from gap, ledger
		where coalesce(until, saved) >= ? and since < ? order by since, gap.id`, func(row *sqlite3.Stmt) error {
		count := func(column int) accounting.Count {
			return accounting.Count{Packets: uint64(row.ColumnInt64(column)), Bytes: uint64(row.ColumnInt64(column + 1))}
		}
		gap := usage.Gap{Until: time.Unix(row.ColumnInt64(1), 0).In(zone), In: count(2), Out: count(4)}
		if at := row.ColumnInt64(0); at > 0 {
			gap.Since = time.Unix(at, 0).In(zone)
		}
		gaps = append(gaps, gap)
		return nil
	}, since, until)
	return gaps, err
}
