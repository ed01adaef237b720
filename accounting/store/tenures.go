package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
)

// Clients returns every client that has ever had a port, sorted by port and time.
// Its errors are those of [Usage].
func Clients(directory string) (clients []accounting.PortClient, err error) {
	err = view(filepath.Join(directory, databaseName), "", openToRead, func(db *database) (err error) {
		clients, err = db.portClients()
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nothing has been saved in %s yet: %w", directory, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the clients: %w", err)
	}
	return clients, nil
}

func (db *database) portClients() (clients []accounting.PortClient, err error) {
	err = db.run("select port, name, since from tenure order by port, since, id", func(row *sqlite3.Stmt) error {
		client := accounting.PortClient{
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
