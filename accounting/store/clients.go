package store

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// clients holds the current tenure of each port, with its names.
type clients struct {
	ports accounting.PortMap[tenure]
	later []usage.Client // that get their port at the next reading
}

// tenure is the time during which a client has a port.
type tenure struct {
	id     int64 // 0: there is none
	name   string
	source string // the last name from a source
}

func (db *database) clients() (c clients, err error) {
	err = db.run("select port.port, tenure.id, name, source_name from port join tenure on tenure.id = port.tenure",
		func(row *sqlite3.Stmt) error {
			port := row.ColumnInt64(0)
			if port < 0 || port > math.MaxUint16 {
				return damaged("a client of port %d", port)
			}
			*c.ports.At(uint16(port)) = tenure{row.ColumnInt64(1), row.ColumnText(2), row.ColumnText(3)}
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

// renamed returns the ports whose names from the sources are not those in the database.
func (s *Store) renamed() (ports []accounting.Port) {
	for _, port := range s.wanted {
		if known := s.saved.clients.ports.Get(port.Number); known.id == 0 || (port.Name != "" && port.Name != known.source) {
			ports = append(ports, port)
		}
	}
	return ports
}

// rename writes the names that the sources have changed. It is part of a transaction.
func (s *Store) rename(now time.Time) error {
	for _, port := range s.renamed() {
		s.options.Progress()
		known := s.saved.clients.ports.At(port.Number)
		if known.id == 0 {
			if _, err := s.beginTenure(port.Number, port.Name, port.Name, now); err != nil {
				return err
			}
			continue
		}
		if err := s.db.run("update tenure set name = ? where id = ?", nil, port.Name, known.id); err != nil {
			return err
		}
		if err := s.db.run("update port set source_name = ? where port = ?", nil, port.Name, int64(port.Number)); err != nil {
			return err
		}
		known.name, known.source = port.Name, port.Name
	}
	return nil
}

// beginTenure gives a port to a client since a time, and returns the tenure's id.
func (s *Store) beginTenure(port uint16, name, source string, since time.Time) (id int64, err error) {
	if err := s.db.run("insert into tenure (port, name, since) values (?, ?, ?)", nil, int64(port), name, since.Unix()); err != nil {
		return 0, err
	}
	id = s.db.LastInsertRowID()
	*s.saved.clients.ports.At(port) = tenure{id, name, source} // read again if the transaction fails
	return id, s.db.run("insert into port values (?, ?, ?) on conflict do update set tenure = excluded.tenure", nil, int64(port), id, source)
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
// renamed, with all of its history. Until then a name from [Store.HandOver] is kept.
func (s *Store) ResolveNames(ports accounting.Ports) accounting.Ports {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.wanted = slices.Clone(ports)
	if !s.closed {
		// If this fails, the next save writes the names.
		if err := s.use(func() error { return s.write(accounting.State{}) }); err != nil {
			s.note(false, "the names of the ports can't be saved yet: %v", err)
		}
		s.logNotices()
	}
	return s.named(ports)
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

// handOver makes a change for a client of another name, and a backup after it.
func (s *Store) handOver(port uint16, name string, change func(known tenure) error) error {
	return s.apply("beginning a client", func() error {
		if err := s.write(accounting.State{}); err != nil { // names that the sources have changed
			return err
		}
		err := s.transact(nil, func(*saving) error {
			known := s.saved.clients.ports.Get(port)
			if known.id == 0 {
				return &UnknownClientError{Port: port}
			}
			if known.name == name {
				return &SameClientError{Port: port, Client: name}
			}
			return change(known)
		})
		if errors.As(err, new(*UnknownClientError)) || errors.As(err, new(*SameClientError)) {
			return err
		}
		if err != nil {
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
	err = db.run("select port, name, since from tenure order by port, id", func(row *sqlite3.Stmt) error {
		client := usage.Client{
			Port: uint16(row.ColumnInt64(0)), Name: row.ColumnText(1), Since: time.Unix(row.ColumnInt64(2), 0),
		}
		if last := len(clients) - 1; last >= 0 && clients[last].Port == client.Port {
			clients[last].Until = client.Since
		}
		clients = append(clients, client)
		return nil
	})
	return clients, err
}
