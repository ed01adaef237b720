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
	// NewClient gives a port to another client from now on. What was counted so far
	// belongs to the previous client.
	NewClient(ctx context.Context, t transfer) (later bool, err error)
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

// The processes that hold a state directory, as others see them.
const (
	runHolder    = "run"
	clientHolder = "client"
)

// commandStore returns the options for a command that has the state for a moment: it
// leaves it to the agent, which knows the settings, to delete old usage.
func commandStore(holder string) store.Options {
	const forEver = 100 * 366 * 24 * time.Hour
	return store.Options{Holder: holder, KeepHours: forEver, KeepDays: forEver}
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
