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
type History struct {
	Directory string
	// Unsaved returns what an agent has read and not saved yet; nil: nothing is known of
	// one. Then the usage is what the next save would record.
	Unsaved func() accounting.Unsaved
	// Calendar divides what was read before the first save.
	Calendar usage.Calendar
}

// View implements [usage.History]. It opens and closes the database, so that an idle reader
// delays no save, and takes no lock that a save waits for. It fails with fs.ErrNotExist if
// nothing has been saved or read, with ErrDamaged, with a *NewerError, with the error of
// read, and with that of ctx, whose end interrupts it.
func (h History) View(ctx context.Context, read func(usage.Snapshot) error) error {
	var unsaved accounting.Unsaved
	if h.Unsaved != nil {
		unsaved = h.Unsaved() // before the database: a save in between shows in its totals
	}
	err := view(filepath.Join(h.Directory, databaseName), "", openToRead, func(db *database) error {
		db.deadline.caller = ctx
		calendar, err := db.calendar()
		if err != nil {
			return err
		}
		snapshot := readSnapshot{db, calendar, nil, unsaved.Ports}
		if snapshot.gained, err = db.gained(unsaved); err != nil {
			return err
		}
		return read(snapshot)
	})
	if errors.Is(err, fs.ErrNotExist) && len(unsaved.Accounts) > 0 {
		return read(readSnapshot{nil, h.Calendar, gainedSince(nil, unsaved), unsaved.Ports})
	}
	if ctx.Err() != nil {
		err = ctx.Err() // SQLite says that it was interrupted
	}
	return readingError("the usage", h.Directory, err)
}

// readSnapshot is a database in a transaction that only reads, and what was read since
// its save.
type readSnapshot struct {
	*database // nil before the first save
	inForce   usage.Calendar
	gained    []gained
	ports     accounting.Ports // in force, if they are known
}

func (s readSnapshot) Calendar() usage.Calendar { return s.inForce }

func (s readSnapshot) Clients() (clients []usage.Client, err error) {
	if s.database != nil {
		if clients, err = s.portClients(); err != nil {
			return nil, err
		}
	}
	known := make(map[uint16]bool)
	for _, client := range clients {
		known[client.Port] = true
	}
	for _, port := range s.ports {
		if !known[port.Number] {
			clients = append(clients, usage.Client{Port: port.Number, Name: port.Name})
		}
	}
	return clients, nil
}

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

// owner is the client of a tenure.
type owner struct {
	name     string
	port     uint16
	selected bool // by the query
}

func (s readSnapshot) Usage(query usage.Query) (*usage.Records, error) {
	records := new(usage.Records)
	if s.database == nil {
		return records, s.usageBeforeSave(records, query)
	}
	owners, err := s.owners(query)
	if err != nil {
		return nil, err
	}
	if records.Gaps, err = s.gaps(query, s.inForce.Zone); err != nil {
		return nil, err
	}
	if query.By == usage.ByTotal {
		records.Rows, err = s.total(query, owners)
		return records, err
	}
	period := slices.Index(periods[:], query.By)
	if period < 0 {
		return nil, fmt.Errorf("usage by %q: want hour, day, month or total", query.By)
	}
	since, until := bounds(query)
	if records.Rows, err = s.rows(period, since, until, s.inForce.Zone, owners); err != nil {
		return nil, err
	}
	records.Rows, err = s.addGained(records.Rows, query, query.By)
	return records, err
}

// usageBeforeSave is Usage without a database.
func (s readSnapshot) usageBeforeSave(records *usage.Records, query usage.Query) (err error) {
	if query.By == usage.ByTotal {
		records.Rows, err = s.addGainedTotal(nil, query, usage.ByHour)
	} else {
		records.Rows, err = s.gainedRows(query, query.By)
	}
	return err
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
func (db *database) owners(query usage.Query) (map[int64]owner, error) {
	owners := make(map[int64]owner)
	err := db.run("select id, name, port from tenure", func(row *sqlite3.Stmt) error {
		o := owner{name: clientName(row.ColumnText(1), row.ColumnInt64(2)), port: uint16(row.ColumnInt64(2))}
		o.selected = selects(query, o.name, o.port)
		owners[row.ColumnInt64(0)] = o
		return nil
	})
	return owners, err
}

// selects reports whether a query selects the client of a port.
func selects(query usage.Query, name string, port uint16) bool {
	return (len(query.Clients) == 0 || slices.Contains(query.Clients, usage.ClientOf(name, port))) &&
		(len(query.Ports) == 0 || slices.Contains(query.Ports, port))
}

// rows returns the usage by hour, day or month.
func (db *database) rows(period int, since, until int64, zone *time.Location, owners map[int64]owner) ([]usage.Row, error) {
	starts, err := db.value("select count(*) from period where period = ? and start >= ? and start < ?", int64(period), since, until)
	if err != nil {
		return nil, err
	}
	var rows, group []usage.Row
	err = db.run("select start, until from period where period = ? and start >= ? and start < ? order by start", func(found *sqlite3.Stmt) error {
		at := found.ColumnInt64(0)
		group, err = db.group(group[:0], owners, time.Unix(at, 0).In(zone), time.Unix(found.ColumnInt64(1), 0).In(zone),
			"select tenure, protocol, packets_in, bytes_in, packets_out, bytes_out from usage where period = ? and start = ?", int64(period), at)
		if rows == nil && period != hourPeriod { // other days and months have about as many rows
			rows = make([]usage.Row, 0, min(int(starts)*len(group), 1<<18))
		}
		rows = append(rows, group...)
		return err
	}, int64(period), since, until)
	return rows, err
}

// group appends the rows of one period, which a query finds, in the order of clients and
// ports. It adds up the rows of a client that had the same port more than once.
func (db *database) group(rows []usage.Row, owners map[int64]owner, start, end time.Time, query string, parameters ...any) ([]usage.Row, error) {
	err := db.run(query, func(row *sqlite3.Stmt) error {
		o, known := owners[row.ColumnInt64(0)]
		if !known {
			return damaged("usage of a client that does not exist")
		}
		if o.selected {
			rows = append(rows, usage.Row{
				Start: start, End: end, Client: o.name, Port: o.port, Protocol: accounting.Protocol(row.ColumnInt64(1)),
				In: countAt(row, 2), Out: countAt(row, 4),
			})
		}
		return nil
	}, parameters...)
	slices.SortFunc(rows, compareClients)
	return mergeRows(rows), err
}

func compareClients(a, b usage.Row) int {
	return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// total returns the usage of all periods together. It adds up the longest
// periods that the bounds of the query do not cut and that are still kept.
func (s readSnapshot) total(query usage.Query, owners map[int64]owner) ([]usage.Row, error) {
	period, err := s.longestPeriod(query, s.inForce)
	if err != nil {
		return nil, err
	}
	since, until := bounds(query)
	var first, last time.Time
	err = s.run("select min(start), max(until) from period where period = ? and start >= ? and start < ? having count(*) > 0", func(row *sqlite3.Stmt) error {
		first, last = time.Unix(row.ColumnInt64(0), 0).In(s.inForce.Zone), time.Unix(row.ColumnInt64(1), 0).In(s.inForce.Zone)
		return nil
	}, period, since, until)
	if err != nil {
		return nil, err
	}
	rows, err := s.group(nil, owners, first, last, `select tenure, protocol, sum(packets_in), sum(bytes_in), sum(packets_out), sum(bytes_out) from usage
		where period = ? and start >= ? and start < ? group by tenure, protocol`, period, since, until)
	if err != nil {
		return nil, err
	}
	return s.addGainedTotal(rows, query, periods[period])
}

// longestPeriod returns the longest period that begins at both bounds of a query. If
// there is none, it returns hours, or days if hours of that time were deleted.
func (db *database) longestPeriod(query usage.Query, calendar usage.Calendar) (int64, error) {
	at := func(period usage.Period, t time.Time) bool {
		start, _ := calendar.Bounds(period, t)
		return t.IsZero() || start.Equal(t)
	}
	for period := monthPeriod; period > hourPeriod; period-- {
		if at(periods[period], query.Since) && at(periods[period], query.Until) {
			return int64(period), nil
		}
	}
	oldest, err := db.value("select coalesce(min(start), 0) from period where period = ?", int64(hourPeriod))
	if err != nil {
		return 0, err
	}
	pruned, err := db.value("select count(*) from pruned where period = ?", int64(hourPeriod))
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
		gap := usage.Gap{Until: time.Unix(row.ColumnInt64(1), 0).In(zone), In: countAt(row, 2), Out: countAt(row, 4)}
		if at := row.ColumnInt64(0); at > 0 {
			gap.Since = time.Unix(at, 0).In(zone)
		}
		gaps = append(gaps, gap)
		return nil
	}, since, until)
	return gaps, err
}
