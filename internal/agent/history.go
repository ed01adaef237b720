package agent

import (
	"context"

	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
)

// History is the recorded usage in a state directory. Each view opens and closes the
// database, so that an idle reader delays no save.
type History struct{ Directory string }

// View implements [usage.History].
func (h History) View(ctx context.Context, read func(usage.Snapshot) error) error {
	return store.View(ctx, h.Directory, read)
}
