package store

import (
	"time"

	"ssmonitor/accounting"
)

// defaultKeepFormers is how long the counters of a table are remembered after another
// table was read.
const defaultKeepFormers = 90 * 24 * time.Hour

// leave writes counters of tables that accounts have left, and forgets those that
// were left too long ago. It reads nothing if there are none.
func (s *Store) leave(formers []accounting.Former, now time.Time) error {
	if len(formers) == 0 {
		return nil
	}
	for i := range formers {
		former := &formers[i]
		if err := s.db.run(`insert into former values (?, ?, ?, ?, ?, ?, ?, ?)
			on conflict do update set handle = excluded.handle, last_packets = excluded.last_packets, last_bytes = excluded.last_bytes, left = excluded.left`, nil,
			former.Epoch[:], int64(former.Key.Port), int64(former.Key.Protocol), int64(former.Key.Direction), int64(former.Handle),
			int64(former.Last.Packets), int64(former.Last.Bytes), now.Unix()); err != nil {
			return err
		}
	}
	if err := s.db.run("delete from former where left < ?", nil, now.Add(-s.options.keepFormers).Unix()); err != nil {
		return err
	}
	return s.db.trimFormers(accounting.MaxFormers)
}

// trimFormers forgets the tables that were left longest ago until at most limit
// counters are remembered, but never the table that was left last.
func (db *database) trimFormers(limit int64) error {
	return db.run(`delete from former where epoch in (select epoch from (
			select epoch, count(*) as own, sum(count(*)) over (order by max(left) desc rows unbounded preceding) as kept
			from former group by epoch
		) where kept > ? and kept > own)`, nil, limit)
}
