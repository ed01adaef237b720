package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
)

// history is the recorded usage as the commands need it.
type history interface {
	accounting.UsageSource
	// NewClient gives the port to another client from now on. The usage so far
	// stays with the previous client.
	NewClient(port uint16, name string) error
}

// openHistory opens the recorded usage in a state directory.
type openHistory func(directory string) history

// savedHistory is the recorded usage in a state directory. Each call opens and
// closes the database, so that an idle reader delays no save.
type savedHistory struct{ directory string }

func openSavedHistory(directory string) history { return savedHistory{directory} }

func (h savedHistory) Usage(_ context.Context, query accounting.UsageQuery) (*accounting.Usage, error) {
	return store.Usage(h.directory, query)
}

func (h savedHistory) Clients(context.Context) ([]accounting.PortClient, error) {
	return store.Clients(h.directory)
}

func (h savedHistory) NewClient(port uint16, name string) error {
	return store.NewClient(h.directory, port, name, time.Now())
}

// historyError adds the remedy to an error from reading or changing the usage.
func historyError(err error) error {
	switch {
	case errors.As(err, new(*accounting.UsageRequestError)), errors.As(err, new(*store.UnknownClientError)):
		return wrongUsage(err)
	case errors.Is(err, fs.ErrPermission):
		return &ownRemedy{fmt.Errorf("%w: run it as root, or, to read, join the group %s (usermod --append --groups %s USER)", err, socketGroup, socketGroup)}
	}
	return err
}
