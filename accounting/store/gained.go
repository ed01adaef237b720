package store

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// distribute calls book with the parts of what an account has gained since it was saved,
// beginning with the newest reading: if a save that failed was written nevertheless, the
// older readings are booked already. The part that no reading explains is booked with the
// newest one.
func distribute(gained accounting.Count, readings []accounting.Gain, newest time.Time, book func(at time.Time, part accounting.Count) error) error {
	for _, reading := range slices.Backward(readings) {
		part := accounting.Count{
			Packets: min(gained.Packets, reading.Count.Packets),
			Bytes:   min(gained.Bytes, reading.Count.Bytes),
		}
		gained = gained.Minus(part)
		if err := book(reading.Time, part); err != nil {
			return err
		}
	}
	if len(readings) > 0 {
		newest = readings[len(readings)-1].Time
	}
	return book(newest, gained)
}

// cutGains returns the gains of a key, and those of the keys after it.
func cutGains(gains []accounting.Gain, key accounting.Key) (own, rest []accounting.Gain) {
	for len(gains) > 0 && gains[0].Key.Compare(key) < 0 {
		gains = gains[1:]
	}
	count := 0
	for count < len(gains) && gains[count].Key == key {
		count++
	}
	return gains[:count], gains[count:]
}

// newestOf returns the time of the newest reading, or another time without one.
func newestOf(gains []accounting.Gain, otherwise time.Time) time.Time {
	if len(gains) == 0 {
		return otherwise
	}
	return slices.MaxFunc(gains, func(a, b accounting.Gain) int { return a.Time.Compare(b.Time) }).Time
}

// gained is a part of what was read since a save.
type gained struct {
	at    time.Time
	key   accounting.Key
	count accounting.Count
}

// gained returns what was read since the save that the database shows.
func (db *database) gained(unsaved accounting.Unsaved) ([]gained, error) {
	if len(unsaved.Accounts) == 0 {
		return nil, nil
	}
	saved := make(map[accounting.Key]accounting.Count)
	err := db.run("select port, protocol, direction, packets, bytes from account", func(row *sqlite3.Stmt) error {
		key := accounting.Key{
			Port: uint16(row.ColumnInt64(0)), Protocol: accounting.Protocol(row.ColumnInt64(1)), Direction: accounting.Direction(row.ColumnInt64(2)),
		}
		saved[key] = countAt(row, 3)
		return nil
	})
	return gainedSince(saved, unsaved), err
}

// gainedSince returns what was read and is not in the saved totals.
func gainedSince(saved map[accounting.Key]accounting.Count, unsaved accounting.Unsaved) (list []gained) {
	gains, newest := unsaved.Gains, newestOf(unsaved.Gains, unsaved.Time)
	for _, account := range unsaved.Accounts {
		var own []accounting.Gain
		own, gains = cutGains(gains, account.Key)
		before := saved[account.Key]
		if account.Total.Packets < before.Packets || account.Total.Bytes < before.Bytes {
			continue // it has been saved by now, and more
		}
		_ = distribute(account.Total.Minus(before), own, newest, func(at time.Time, part accounting.Count) error {
			if part != (accounting.Count{}) {
				list = append(list, gained{at, account.Key, part})
			}
			return nil
		})
	}
	return list
}

// addGained adds what was gained to rows by hour, day or month.
func (s readSnapshot) addGained(rows []usage.Row, query usage.Query, by usage.Period) ([]usage.Row, error) {
	more, err := s.gainedRows(query, by)
	if err != nil || len(more) == 0 {
		return rows, err
	}
	first, _ := slices.BinarySearchFunc(rows, more[0].Start, func(row usage.Row, start time.Time) int { return row.Start.Compare(start) })
	rows = append(rows, more...)
	slices.SortFunc(rows[first:], compareRows)
	return rows[:first+len(mergeRows(rows[first:]))], nil
}

// addGainedTotal adds what was gained to the rows of a total, which adds up periods by
// that length.
func (s readSnapshot) addGainedTotal(rows []usage.Row, query usage.Query, by usage.Period) ([]usage.Row, error) {
	more, err := s.gainedRows(query, by)
	if err != nil || len(more) == 0 {
		return rows, err
	}
	rows = append(rows, more...)
	start := slices.MinFunc(rows, func(a, b usage.Row) int { return a.Start.Compare(b.Start) }).Start
	end := slices.MaxFunc(rows, func(a, b usage.Row) int { return a.End.Compare(b.End) }).End
	for i := range rows {
		rows[i].Start, rows[i].End = start, end
	}
	slices.SortFunc(rows, compareRows)
	return mergeRows(rows), nil
}

// gainedRows returns what was gained by hour, day or month. It belongs to the clients that
// have the ports now.
func (s readSnapshot) gainedRows(query usage.Query, by usage.Period) (rows []usage.Row, err error) {
	if len(s.gained) == 0 {
		return nil, nil
	}
	clients, err := s.currentClients()
	if err != nil {
		return nil, err
	}
	since, until := bounds(query)
	for _, g := range s.gained {
		start, end := s.inForce.Bounds(by, g.at)
		name, port := clients[g.key.Port], g.key.Port
		if at := start.Unix(); at < since || at >= until || !selects(query, name, port) {
			continue
		}
		row := usage.Row{Start: start, End: end, Client: name, Port: port, Protocol: g.key.Protocol}
		if g.key.Direction == accounting.In {
			row.In = g.count
		} else {
			row.Out = g.count
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, compareRows)
	return mergeRows(rows), nil
}

// currentClients returns the names of the clients that have the ports, as a save would
// find them.
func (s readSnapshot) currentClients() (map[uint16]string, error) {
	names := make(map[uint16]string)
	for _, port := range s.ports {
		names[port.Number] = port.Name
	}
	if s.database == nil {
		return names, nil
	}
	err := s.run("select port.port, name from port join tenure on tenure.id = port.tenure", func(row *sqlite3.Stmt) error {
		port := row.ColumnInt64(0)
		if port < 0 || port > math.MaxUint16 {
			return damaged("a client of port %d", port)
		}
		names[uint16(port)] = row.ColumnText(1)
		return nil
	})
	return names, err
}

func compareRows(a, b usage.Row) int { return cmp.Or(a.Start.Compare(b.Start), compareClients(a, b)) }

// mergeRows adds up the rows of a client that has several of the same period, port and
// protocol, which follow one another.
func mergeRows(rows []usage.Row) []usage.Row {
	merged := rows[:0]
	for _, row := range rows {
		if last := len(merged) - 1; last >= 0 && compareRows(merged[last], row) == 0 {
			merged[last].In, merged[last].Out = merged[last].In.Plus(row.In), merged[last].Out.Plus(row.Out)
		} else {
			merged = append(merged, row)
		}
	}
	return merged
}
