package agent

import (
	"context"

	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
)

// History is the recorded usage in a state directory. Each call opens and closes the
// database, so that an idle reader delays no save.
type History struct{ Directory string }

// Usage implements [usage.History].
func (h History) Usage(ctx context.Context, query usage.Query) (*usage.Records, error) {
	return store.Usage(ctx, h.Directory, query)
}

// Clients implements [usage.History].
func (h History) Clients(context.Context) ([]usage.Client, error) { return store.Clients(h.Directory) }
