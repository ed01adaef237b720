package store

import (
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting/usage"
)

// laterVersion is the first version that has the table later.
const laterVersion = 4

// laterSchema adds the clients that get a port at the next reading.
const laterSchema = `
create table later (
	port integer primary key,
	name text not null
) strict;
`

// NewClientLater gives a port to a client of another name at the next start of an
// agent, which first reads what was counted until then: it belongs to the previous
// client. It fails as [Store.NewClient] does.
func (s *Store) NewClientLater(port uint16, name string) error {
	return s.changeClient(port, name, func(tenure) error {
		return s.db.run("insert or replace into later values (?, ?)", nil, int64(port), name)
	})
}

// Later returns the clients that [Store.NewClientLater] had named, when the store was
// opened, and that had not got their port yet.
func (s *Store) Later() []usage.Client {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.clients.later)
}

func (db *database) laterClients() (clients []usage.Client, err error) {
	if db.version < laterVersion {
		return nil, nil
	}
	err = db.run("select port, name from later order by port", func(row *sqlite3.Stmt) error {
		clients = append(clients, usage.Client{Port: uint16(row.ColumnInt64(0)), Name: row.ColumnText(1)})
		return nil
	})
	return clients, err
}

// beginTenure gives a port to another client since a time.
func (s *Store) beginTenure(port uint16, name string, known tenure, since time.Time) error {
	if _, err := s.clients.begin(s.db, port, name, known.source, since); err != nil {
		return err
	}
	return s.db.run("delete from later where port = ?", nil, int64(port))
}
