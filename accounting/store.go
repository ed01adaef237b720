package accounting

// Account is one counter's line in the ledger. Accounts are never removed: a
// port that comes back goes on from its total.
type Account struct {
	Key   Key
	Total Count // of all time
	// Last is the raw value that Total includes, of the counter that Epoch
	// and Handle identify.
	Last   Count
	Epoch  Epoch
	Handle uint64
}

// State is what the ledger knows, or, as the argument of a save, what of it
// has changed since the last one.
type State struct {
	// In and Out are the totals of all ports together, those that are gone
	// included.
	In, Out  Count
	Accounts []Account // in no order to rely on
	// Gains are when the changed accounts gained what they did, in the order
	// of the readings. They are empty in a state that was read.
	Gains []Gain
	// Read says that the counters were read at least once since the ledger
	// was loaded: accounts that are not here have gained nothing.
	Read bool
}

// Store keeps the ledger's state. Save is durable and atomic when it returns
// nil; after an error the caller hands the same accounts in again.
type Store interface {
	Save(changed State) error
}
