package store

import (
	"fmt"
	"io/fs"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// forgottenName is the name of the tenure of port 0 in the views. A client of that
// name is another one.
const forgottenName = "forgotten"

// clientName returns the name of a tenure's client. That of port 0 has none.
func clientName(name string, port int64) string {
	if port == 0 {
		return ""
	}
	return name
}

// The steps of forgetting the tenures in the table forgetting.
var (
	beginForget = []string{
		`create temp table if not exists forgetting (tenure integer primary key)`,
		`delete from forgetting`,
	}
	moveForgotten = []string{
		`insert into tenure (port, name, since) select 0, '` + forgottenName + `', 0 where not exists (select 1 from tenure where port = 0)`,
		`insert into forgotten select period, port, protocol, sum(packets_in), sum(bytes_in), sum(packets_out), sum(bytes_out)
			from usage join tenure on tenure.id = usage.tenure where tenure in forgetting group by 1, 2, 3 ` + addToRow,
		`insert into forgotten select period, 0, protocol, -sum(packets_in), -sum(bytes_in), -sum(packets_out), -sum(bytes_out)
			from usage where tenure in forgetting group by 1, 2, 3 ` + addToRow,
		moveRows("usage", "period, start"), "delete from usage where tenure in forgetting",
		moveRows("early", "start"), "delete from early where tenure in forgetting",
		"delete from port where tenure in forgetting",
		"delete from tenure where id in forgetting",
		"delete from forgetting",
	}
)

// moveRows adds the rows of a table to those of port 0.
func moveRows(table, times string) string {
	return fmt.Sprintf(`insert into %[1]s select %[2]s, (select id from tenure where port = 0), protocol,
		sum(packets_in), sum(bytes_in), sum(packets_out), sum(bytes_out)
		from %[1]s where tenure in forgetting group by %[2]s, protocol %[3]s`, table, times, addToRow)
}

// Forget forgets past clients, whose usage is added up as that of [usage.Forgotten] in each
// period, so that sums stay what they were. When it returns nil, the change is durable, and
// the next backup has no trace of the clients. It fails with a *CountedError if a client of
// the name has a port, and with ErrNothingToForget.
func (s *Store) Forget(past usage.Past) error {
	return s.changeClients("forgetting a client", func() error {
		// Without an index each deleted tenure would search all of the usage.
		if err := s.db.Exec("pragma foreign_keys = off"); err != nil {
			return err
		}
		defer func() { _ = s.db.Exec("pragma foreign_keys = on") }()
		if err := s.transact(nil, func(*saving) error { return s.forget(past) }); err != nil {
			return err
		}
		s.db.emptyLog() // of their names
		return nil
	})
}

// forget forgets past clients. It is part of a transaction.
func (s *Store) forget(past usage.Past) error {
	if past.Name != "" {
		if err := s.refuseCounted(past.Name); err != nil {
			return err
		}
	}
	if err := s.db.runAll(beginForget...); err != nil {
		return err
	}
	if err := s.db.run("insert into forgetting select id from tenure where name = ? and until > 0 and port between ? and ?", nil,
		past.Name, int64(past.First), int64(past.Last)); err != nil {
		return err
	}
	selected, err := s.db.value("select count(*) from forgetting")
	if err == nil && selected == 0 {
		err = ErrNothingToForget
	}
	if err != nil {
		return err
	}
	for port, known := range s.saved.clients.ports.All() {
		if known.until > 0 && known.name == past.Name && past.First <= port && port <= past.Last {
			*known = tenure{} // read again if the transaction fails
		}
	}
	return s.db.runAll(moveForgotten...)
}

// refuseCounted fails if a client has a port, or will get one.
func (s *Store) refuseCounted(name string) error {
	port, err := s.db.value("select port from tenure where name = ?1 and port > 0 and until <= 0 union select port from later where name = ?1 order by 1", name)
	if err == nil && port > 0 {
		err = &CountedError{Client: name, Port: uint16(port)}
	}
	return err
}

// Earlier returns what clients that had ports before the present ones used on them, by
// counter: their part of the totals. It fails while no database is open, as on a full disk.
func (s *Store) Earlier() (earlier map[accounting.Key]accounting.Count, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	earlier = make(map[accounting.Key]accounting.Count)
	err = s.use(func() error {
		if s.db == nil {
			return fmt.Errorf("reading %s: %w", s.path, fs.ErrClosed)
		}
		clear(earlier)
		return explain(s.path, s.db.run(`select port, protocol, sum(packets_in), sum(bytes_in), sum(packets_out), sum(bytes_out) from (
				select port, protocol, packets_in, bytes_in, packets_out, bytes_out from usage join tenure on tenure.id = usage.tenure
				where period = ?1 and tenure not in (select tenure from port)
				union all select port, protocol, packets_in, bytes_in, packets_out, bytes_out from forgotten where period = ?1
			) where port > 0 group by port, protocol`, func(row *sqlite3.Stmt) error {
			key := accounting.Key{Port: uint16(row.ColumnInt64(0)), Protocol: accounting.Protocol(row.ColumnInt64(1))}
			for _, key.Direction = range [...]accounting.Direction{accounting.In, accounting.Out} {
				earlier[key] = countAt(row, 2+2*int(key.Direction))
			}
			return nil
		}, int64(monthPeriod)))
	})
	return earlier, err
}
