package accounting

// Account is the entry of one counter in the ledger. Accounts are never removed:
// a port that is added again continues from its total.
type Account struct {
	Key   Key
	Total Count // of all time
	// Last is the value at the last reading of the counter that Epoch and Handle
	// identify. Total includes it.
	Last   Count
	Epoch  Epoch
	Handle uint64
}

// State is the contents of the ledger or, as the argument of Save, what has
// changed since the last save.
type State struct {
	// In and Out are the totals of all ports together, including removed ones.
	In, Out  Count
	Accounts []Account // by Key.Compare
	// Formers are the counters of former tables that the accounts may return to.
	Formers []Former
	// Gains distribute what the changed accounts have gained over time, by
	// Key.Compare and then in the order of the readings. A state that was read
	// from a store has none.
	Gains []Gain
	// Read says that the counters were read at least once since the ledger
	// was loaded: accounts that are not here have gained nothing.
	Read bool
}

// Store keeps the ledger's state.
type Store interface {
	// Save is atomic, and durable if it returns nil. After an error the caller
	// passes the same accounts again.
	Save(changed State) error
}
