package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// clients holds the current tenure of each port, with its names.
type clients struct {
	ports  accounting.PortMap[tenure]
	wanted accounting.Ports // as the sources name them
	stale  bool             // wanted may differ from the database
	later  []usage.Client   // that get their port at the next reading
}

// tenure is the time during which a client has a port.
type tenure struct {
	id     int64 // 0: there is none
	name   string
	source string // the last name from a source
}

func (c *clients) load(db *database) error {
	var ports accounting.PortMap[tenure]
	err := db.run("select port.port, tenure.id, name, source_name from port join tenure on tenure.id = port.tenure",
		func(row *sqlite3.Stmt) error {
			port := row.ColumnInt64(0)
			if port < 0 || port > math.MaxUint16 {
				return damaged("a client of port %d", port)
			}
			*ports.At(uint16(port)) = tenure{row.ColumnInt64(1), row.ColumnText(2), row.ColumnText(3)}
			return nil
		})
	if err != nil {
		return err
	}
	c.ports, c.stale = ports, true
	c.later, err = db.laterClients()
	return err
}

// pending reports whether there is something to write.
func (c *clients) pending() bool { return c.stale && len(c.different()) > 0 }

// different returns the ports whose names are not those in the database.
func (c *clients) different() (ports []accounting.Port) {
	for _, port := range c.wanted {
		if known := c.ports.Get(port.Number); known.id == 0 || (port.Name != "" && port.Name != known.source) {
			ports = append(ports, port)
		}
	}
	return ports
}

// update writes what the sources have changed. It is part of a transaction.
func (c *clients) update(db *database, now time.Time) error {
	if !c.stale {
		return nil
	}
	for _, port := range c.different() {
		known := c.ports.At(port.Number)
		if known.id == 0 {
			if _, err := c.begin(db, port.Number, port.Name, port.Name, now); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(
			db.run("update tenure set name = ? where id = ?", nil, port.Name, known.id),
			db.run("update port set source_name = ? where port = ?", nil, port.Name, int64(port.Number))); err != nil {
			return err
		}
		known.name, known.source = port.Name, port.Name
	}
	return nil
}

// applied records that the transaction of the last update is durable.
func (c *clients) applied() { c.stale = false }

// begin opens a tenure.
func (c *clients) begin(db *database, port uint16, name, source string, now time.Time) (tenure, error) {
	if err := db.run("insert into tenure (port, name, since) values (?, ?, ?)", nil, int64(port), name, now.Unix()); err != nil {
		return tenure{}, err
	}
	begun := tenure{db.LastInsertRowID(), name, source}
	err := db.run("insert into port values (?, ?, ?) on conflict do update set tenure = excluded.tenure", nil, int64(port), begun.id, source)
	if err != nil {
		return tenure{}, err
	}
	*c.ports.At(port) = begun
	return begun, nil
}

// tenure returns the id of the port's current tenure, which it begins if there is
// none.
func (c *clients) tenure(db *database, port uint16, now time.Time) (int64, error) {
	if known := c.ports.Get(port); known.id != 0 {
		return known.id, nil
	}
	begun, err := c.begin(db, port, "", "", now)
	return begun.id, err
}

// names returns the ports with their current names.
func (c *clients) names(ports accounting.Ports) accounting.Ports {
	named := slices.Clone(ports)
	for i := range named {
		known := c.ports.Get(named[i].Number)
		if known.id != 0 && (named[i].Name == "" || named[i].Name == known.source) {
			named[i].Name = known.name
		}
	}
	return named
}

// SetPorts records the ports with the names from the sources and returns them
// with their current names. If a source changes the name of a port, its client is
// renamed, with all of its history. Until then a name from [Store.NewClient] is kept.
func (s *Store) SetPorts(ports accounting.Ports) accounting.Ports {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.clients.wanted, s.clients.stale = slices.Clone(ports), true
	if !s.closed {
		// If this fails, the next save writes the names.
		if err := s.write(accounting.State{}); err != nil {
			s.note(false, "the names of the ports can't be saved yet: %v", err)
		}
		s.logNotices()
	}
	return s.clients.names(ports)
}

// NewClient gives a port to a client of another name, which begins a history of its
// own at a time. The usage that is saved by then stays with the previous client. When
// NewClient returns nil, the change is durable. It fails with an *UnknownClientError if
// the port was never counted, and with a *SameClientError.
func (s *Store) NewClient(port uint16, name string, since time.Time) error {
	return s.changeClient(port, name, func(known tenure) error { return s.beginTenure(port, name, known, since) })
}

// changeClient makes a change for a client of another name.
func (s *Store) changeClient(port uint16, name string, change func(known tenure) error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return fmt.Errorf("beginning a client: %w", fs.ErrClosed)
	}
	defer s.logNotices()
	err := s.newClient(port, name, change)
	if errors.Is(err, ErrDamaged) {
		s.condemn(err)
		err = s.newClient(port, name, change)
	}
	if err == nil || errors.As(err, new(*UnknownClientError)) || errors.As(err, new(*SameClientError)) {
		return err
	}
	return fmt.Errorf("beginning a client: %w", err)
}

func (s *Store) newClient(port uint16, name string, change func(known tenure) error) error {
	return retrying(func() error {
		return s.guard(func() error { return s.newClientOnce(port, name, change) })
	})
}

func (s *Store) newClientOnce(port uint16, name string, change func(known tenure) error) error {
	if err := s.writeOnce(accounting.State{}); err != nil { // names that the sources have changed
		return err
	}
	instant := s.instant()
	err := transact(s.db.Conn.Conn, func() error {
		if s.uncertain {
			if err := s.reload(); err != nil {
				return err
			}
		}
		known := s.clients.ports.Get(port)
		if known.id == 0 {
			return &UnknownClientError{Port: port}
		}
		if known.name == name {
			return &SameClientError{Port: port, Client: name}
		}
		if _, err := s.advance(instant, nil); err != nil {
			return err
		}
		if err := change(known); err != nil {
			return err
		}
		return s.count()
	})
	if errors.As(err, new(*UnknownClientError)) || errors.As(err, new(*SameClientError)) {
		return err
	}
	if err != nil {
		s.uncertain = true
		return explain(s.path, err)
	}
	s.counted()
	s.db.look(theLog)
	s.backUp(time.Unix(instant.wall, 0))
	return nil
}
