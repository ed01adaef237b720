package store

import (
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting/usage"
)

// Clients returns every client that has ever had a port, sorted by port and in the
// order in which they got it. Their times are in another order if the clock was set
// back. Its errors are those of [Usage].
func Clients(directory string) (clients []usage.Client, err error) {
	err = view(filepath.Join(directory, databaseName), "", openToRead, func(db *database) (err error) {
		clients, err = db.portClients()
		return err
	})
	return clients, readingError("the clients", directory, err)
}

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
