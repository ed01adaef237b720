package store

import "ssmonitor/accounting"

// accounts are the accounts of a ledger. The zero value is empty.
type accounts struct {
	list  []accounting.Account
	place accounting.KeyMap[int32] // in list, plus 1
}

// get returns the account of key, or the zero one if there is none.
func (a *accounts) get(key accounting.Key) (account accounting.Account) {
	if place := a.place.Get(key); place > 0 {
		account = a.list[place-1]
	}
	return account
}

// set adds an account or replaces the one of the same key.
func (a *accounts) set(account accounting.Account) {
	place := a.place.At(account.Key)
	if *place == 0 {
		a.list = append(a.list, accounting.Account{})
		*place = int32(len(a.list))
	}
	a.list[*place-1] = account
}

// state returns the state with the accounts. Since accounts are never removed,
// their sums are the totals of all ports together.
func (a *accounts) state() accounting.State {
	state := accounting.State{Accounts: make([]accounting.Account, 0, len(a.list))}
	for _, place := range a.place.All() {
		account := a.list[place-1]
		state.Accounts = append(state.Accounts, account)
		if account.Key.Direction == accounting.In {
			state.In = state.In.Plus(account.Total)
		} else {
			state.Out = state.Out.Plus(account.Total)
		}
	}
	return state
}
