package store

import (
	"slices"
	"sort"

	"ssmonitor/accounting"
)

// accounts are the accounts of the last save and the counters that they may return
// to. A save is only of what has changed: when somebody has damaged, truncated or
// replaced the database, the others are written again from here, also when the store
// is closed. The zero value is empty.
type accounts struct {
	list    []accounting.Account // by Key.Compare
	epochs  accounting.Epochs
	formers accounting.Formers
}

// get returns the account of key, or the zero one if there is none.
func (a *accounts) get(key accounting.Key) accounting.Account {
	if place, found := find(a.list, key); found {
		return a.list[place]
	}
	return accounting.Account{}
}

// find returns the place of the key's account in a list that is sorted.
func find(list []accounting.Account, key accounting.Key) (place int, found bool) {
	place = sort.Search(len(list), func(i int) bool { return list[i].Key.Compare(key) >= 0 })
	return place, place < len(list) && list[place].Key == key
}

// set records what was saved.
func (a *accounts) set(changed accounting.State) {
	known := len(a.list)
	if known == 0 {
		a.list = make([]accounting.Account, 0, len(changed.Accounts)) // without the room that append would leave
	}
	for _, account := range changed.Accounts {
		if place, found := find(a.list[:known], account.Key); found {
			a.list[place] = account
		} else {
			a.list = append(a.list, account)
		}
	}
	if len(a.list) > known {
		slices.SortFunc(a.list, func(a, b accounting.Account) int { return a.Key.Compare(b.Key) })
	}
	for _, former := range changed.Formers {
		a.formers.Set(former.Key, a.epochs.Number(former.Epoch), former.Handle, former.Last)
	}
	a.formers.Trim(accounting.MaxFormers)
}

// state returns the state with the accounts. Since accounts are never removed,
// their sums are the totals of all ports together.
func (a *accounts) state() accounting.State {
	state := accounting.State{Accounts: slices.Clone(a.list), Formers: a.formers.All(&a.epochs)}
	for _, account := range a.list {
		if account.Key.Direction == accounting.In {
			state.In = state.In.Plus(account.Total)
		} else {
			state.Out = state.Out.Plus(account.Total)
		}
	}
	return state
}
