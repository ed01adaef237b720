package store

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// clients holds the last tenure of each port, with its names.
type clients struct {
	ports accounting.PortMap[tenure]
	later []usage.Client // that get their port at the next reading
}

// tenure is the time during which a client has a port.
type tenure struct {
	id     int64 // 0: there is none
	name   string
	source string // the last name from a source
	until  int64  // as in the database: 0 or less, unless it has ended
}

// countedOnce is the end of a tenure that may have ended before ends were recorded.
const countedOnce = -1

// untilColumn is the end of a tenure, which only later versions of the schema have.
func (db *database) untilColumn() string {
	if db.version < untilVersion {
		return "0"
	}
	return "until"
}

func (db *database) clients() (c clients, err error) {
	err = db.run("select port.port, tenure.id, name, source_name, "+db.untilColumn()+" from port join tenure on tenure.id = port.tenure",
		func(row *sqlite3.Stmt) error {
			port := row.ColumnInt64(0)
			if port < 0 || port > math.MaxUint16 {
				return damaged("a client of port %d", port)
			}
			*c.ports.At(uint16(port)) = tenure{row.ColumnInt64(1), row.ColumnText(2), row.ColumnText(3), row.ColumnInt64(4)}
			return nil
		})
	if err != nil || db.version < laterVersion {
		return c, err
	}
	err = db.run("select port, name from later order by port", func(row *sqlite3.Stmt) error {
		c.later = append(c.later, usage.Client{Port: uint16(row.ColumnInt64(0)), Name: row.ColumnText(1)})
		return nil
	})
	return c, err
}

// named reports whether a source gives the port another name than the last one. A port
// without a name says nothing about its client.
func (t tenure) named(port accounting.Port) bool { return port.Name != "" && port.Name != t.source }

// renamed returns the ports that the sources name otherwise than the database does, or
// that had ended.
func (s *Store) renamed() (ports []accounting.Port) {
	for _, port := range s.wanted {
		if known := s.saved.clients.ports.Get(port.Number); known.id == 0 || known.until != 0 || known.named(port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// ended returns the ports that are not counted any more. Only an agent knows them.
func (s *Store) ended() (ports []uint16) {
	if !s.resolved {
		return nil
	}
	for port, known := range s.saved.clients.ports.All() {
		if _, wanted := s.wanted.Find(port); known.id != 0 && known.until <= 0 && !wanted {
			ports = append(ports, port)
		}
	}
	return ports
}

// rename writes the names that the sources have changed, and which ports have ended. A
// port that is counted again belongs to the same client if its name is the same. It is
// part of a transaction.
func (s *Store) rename(now time.Time) error {
	renamed := make(map[string][]string)
	for _, port := range s.renamed() {
		known := s.saved.clients.ports.At(port.Number)
		// The client that gets the port at the next reading.
		count, err := s.db.value("select count(*) from later where port = ? and name = ?", int64(port.Number), port.Name)
		if err != nil {
			return err
		}
		waiting := count > 0
		if known.id == 0 || known.until > 0 && known.named(port) && !waiting {
			if _, err := s.beginTenure(port.Number, port.Name, port.Name, now); err != nil {
				return err
			}
			continue
		}
		if known.named(port) {
			if !waiting {
				if known.name != port.Name && known.name != "" {
					renamed[known.name] = append(renamed[known.name], port.Name)
				}
				known.name = port.Name
			}
			known.source = port.Name
		}
		known.until = 0
		if err := s.db.run("update tenure set name = ?, until = 0 where id = ?", nil, known.name, known.id); err != nil {
			return err
		}
		if err := s.db.run("update port set source_name = ? where port = ?", nil, known.source, int64(port.Number)); err != nil {
			return err
		}
	}
	if err := s.endTenures(now); err != nil {
		return err
	}
	return s.renamePast(renamed)
}

// endTenures writes which ports have ended. What ended before that was recorded did so
// after its last usage.
func (s *Store) endTenures(now time.Time) error {
	estimated := false
	for _, port := range s.ended() {
		known := s.saved.clients.ports.At(port)
		if known.until == countedOnce && !estimated {
			if err := s.db.run(`update tenure set until = max(since, used.last) from (select tenure, max(start) as last from usage group by tenure) as used
				where used.tenure = tenure.id and until = ?1`, nil, int64(countedOnce)); err != nil {
				return err
			}
			if err := s.db.run("update tenure set until = since where until = ?", nil, int64(countedOnce)); err != nil {
				return err
			}
			estimated = true
		}
		if known.until == 0 {
			if err := s.db.run("update tenure set until = ? where id = ?", nil, now.Unix(), known.id); err != nil {
				return err
			}
		}
		known.until = now.Unix()
	}
	return nil
}

// renamePast gives clients that have another name now that name also for other ports that
// they had before, unless a port still has the old name, or several names have come in its
// place. Whoever had one of their present ports is somebody else: see [Store.HandOver].
func (s *Store) renamePast(renamed map[string][]string) error {
	maps.DeleteFunc(renamed, func(_ string, names []string) bool { return len(slices.Compact(names)) > 1 })
	for _, known := range s.saved.clients.ports.All() {
		if known.until <= 0 {
			delete(renamed, known.name)
		}
	}
	if len(renamed) == 0 {
		return nil
	}
	for _, known := range s.saved.clients.ports.All() {
		if names := renamed[known.name]; names != nil {
			known.name, known.source = names[0], names[0]
		}
	}
	if err := s.db.runAll("create temp table if not exists renaming (old text primary key, new text)", "delete from renaming"); err != nil {
		return err
	}
	for old, names := range renamed {
		s.options.Progress()
		if err := s.db.run("insert into renaming values (?, ?)", nil, old, names[0]); err != nil {
			return err
		}
	}
	return s.db.runAll(
		"update port set source_name = new from tenure join renaming on name = old where id = tenure",
		"update tenure set name = new from renaming where name = old and port > 0 and port not in (select port from tenure where name = new and until <= 0)",
		"delete from renaming",
	)
}

// beginTenure gives a port to a client since a time, and returns the tenure's id.
func (s *Store) beginTenure(port uint16, name, source string, since time.Time) (id int64, err error) {
	if err := s.db.run("update tenure set until = ? where id = ? and until <= 0", nil, since.Unix(), s.saved.clients.ports.Get(port).id); err != nil {
		return 0, err
	}
	if err := s.db.run("insert into tenure (port, name, since) values (?, ?, ?)", nil, int64(port), name, since.Unix()); err != nil {
		return 0, err
	}
	id = s.db.LastInsertRowID()
	*s.saved.clients.ports.At(port) = tenure{id, name, source, 0} // read again if the transaction fails
	return id, s.db.run("insert into port values (?, ?, ?) on conflict do update set tenure = excluded.tenure, source_name = excluded.source_name", nil, int64(port), id, source)
}

// tenureOf returns the id of the port's current tenure, which it begins if there is
// none.
func (s *Store) tenureOf(port uint16, now time.Time) (int64, error) {
	if known := s.saved.clients.ports.Get(port); known.id != 0 {
		return known.id, nil
	}
	return s.beginTenure(port, "", "", now)
}

// named returns the ports with their current names.
func (s *Store) named(ports accounting.Ports) accounting.Ports {
	named := slices.Clone(ports)
	for i := range named {
		known := s.saved.clients.ports.Get(named[i].Number)
		if known.id != 0 && (named[i].Name == "" || named[i].Name == known.source) {
			named[i].Name = known.name
		}
	}
	return named
}

// ResolveNames records the ports with the names from the sources and returns them
// with their current names. If a source changes the name of a port, its client is
// renamed, with all of its history. Until then a name from [Store.HandOver] is kept. Other ports
// are not counted any more; if they are named again, by another name, another client
// begins.
func (s *Store) ResolveNames(ports accounting.Ports) accounting.Ports {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.wanted, s.resolved = slices.Clone(ports), true
	if !s.closed {
		// If this fails, the next save writes the names.
		if err := s.use(func() error { return s.write(accounting.State{}) }); err != nil {
			s.note(false, "the names of the ports can't be saved yet: %v", err)
		}
		s.logNotices()
	}
	return s.named(ports)
}

// ResolveName has the next change record the name that a source gives a port now, as
// [Store.ResolveNames] does where all ports are known. A port that is not counted keeps its
// last client.
func (s *Store) ResolveName(port accounting.Port) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if known := s.saved.clients.ports.Get(port.Number); known.id != 0 && known.until <= 0 {
		s.wanted = accounting.Ports{port}
	}
}

// HandOver gives a port to a client of another name, which begins a history of its
// own at a time. The usage that is saved by then stays with the previous client. When
// HandOver returns nil, the change is durable. It fails with an *UnknownClientError if
// the port was never counted, and with a *SameClientError.
func (s *Store) HandOver(port uint16, name string, since time.Time) error {
	return s.handOver(port, name, func(known tenure) error {
		if _, err := s.beginTenure(port, name, known.source, since); err != nil {
			return err
		}
		return s.db.run("delete from later where port = ?", nil, int64(port))
	})
}

// HandOverLater gives a port to a client of another name at the next start of an
// agent, which first reads what was counted until then: it belongs to the previous
// client. It fails as [Store.HandOver] does.
func (s *Store) HandOverLater(port uint16, name string) error {
	return s.handOver(port, name, func(tenure) error {
		return s.db.run("insert or replace into later values (?, ?)", nil, int64(port), name)
	})
}

// Later returns the clients that [Store.HandOverLater] had named, when the store was
// opened, and that had not got their port yet.
func (s *Store) Later() []usage.Client {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.saved.clients.later)
}

// handOver makes a change for a client of another name.
func (s *Store) handOver(port uint16, name string, change func(known tenure) error) error {
	return s.changeClients("beginning a client", func() error {
		return s.transact(nil, func(*saving) error {
			known := s.saved.clients.ports.Get(port)
			if known.id == 0 {
				return &UnknownClientError{Port: port}
			}
			if known.name == name {
				return &SameClientError{Port: port, Client: name}
			}
			return change(known)
		})
	})
}

// changeClients makes a change, which is described for errors, and a backup after it.
func (s *Store) changeClients(what string, change func() error) error {
	return s.apply(what, func() error {
		if err := s.write(accounting.State{}); err != nil { // names that the sources have changed
			return err
		}
		if err := change(); refused(err) {
			return err
		} else if err != nil {
			return explain(s.path, err)
		}
		s.db.renewMark(theLog)
		s.backUp()
		return nil
	})
}

// portClients returns every client that has ever had a port, sorted by port and in the
// order in which they got it. Their times are in another order if the clock was set
// back.
func (db *database) portClients() (clients []usage.Client, err error) {
	err = db.run("select port, name, since, "+db.untilColumn()+" from tenure order by port, id", func(row *sqlite3.Stmt) error {
		client := usage.Client{
			Port: uint16(row.ColumnInt64(0)), Name: clientName(row.ColumnText(1), row.ColumnInt64(0)), Since: time.Unix(row.ColumnInt64(2), 0),
		}
		if until := row.ColumnInt64(3); until > 0 {
			client.Until = time.Unix(until, 0)
		}
		if last := len(clients) - 1; last >= 0 && clients[last].Port == client.Port && clients[last].Until.IsZero() {
			clients[last].Until = client.Since
		}
		clients = append(clients, client)
		return nil
	})
	return clients, err
}
