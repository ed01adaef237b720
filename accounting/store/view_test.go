package store

import (
	"context"
	"testing"

	"ssmonitor/accounting/usage"
)

// Usage answers one query.
func Usage(ctx context.Context, directory string, query usage.Query) (records *usage.Records, err error) {
	err = History{Directory: directory}.View(ctx, func(recorded usage.Snapshot) (err error) {
		records, err = recorded.Usage(query)
		return err
	})
	return records, err
}

func calendarOf(t *testing.T, directory string) (calendar usage.Calendar) {
	t.Helper()
	err := History{Directory: directory}.View(t.Context(), func(recorded usage.Snapshot) error {
		calendar = recorded.Calendar()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return calendar
}

// Clients returns the clients of all ports.
func Clients(ctx context.Context, directory string) (clients []usage.Client, err error) {
	err = History{Directory: directory}.View(ctx, func(recorded usage.Snapshot) (err error) {
		clients, err = recorded.Clients()
		return err
	})
	return clients, err
}
