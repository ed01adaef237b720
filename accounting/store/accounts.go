package store

import "ssmonitor/accounting"

// accounts are the accounts of a ledger, in few bytes, and the counters that they
// may return to. The zero value is empty.
type accounts struct {
	list    []account
	place   accounting.KeyMap[int32] // in list, plus 1
	epochs  accounting.Epochs
	formers accounting.Formers
}

// account is an accounting.Account with the number of its epoch. It has no
// pointers, so that the garbage collector skips the list.
type account struct {
	total, last accounting.Count
	handle      uint64
	key         accounting.Key
	epoch       uint32
}

// reserve makes room for so many accounts, and no more.
func (a *accounts) reserve(count int) {
	if cap(a.list) < count {
		a.list = append(make([]account, 0, count), a.list...)
	}
}

// get returns the account of key, or the zero one if there is none.
func (a *accounts) get(key accounting.Key) accounting.Account {
	place := a.place.Get(key)
	if place == 0 {
		return accounting.Account{}
	}
	return a.at(place)
}

func (a *accounts) at(place int32) accounting.Account {
	found := &a.list[place-1]
	return accounting.Account{
		Key: found.key, Total: found.total, Last: found.last, Epoch: a.epochs.Epoch(found.epoch), Handle: found.handle,
	}
}

// set adds an account or replaces the one of the same key.
func (a *accounts) set(changed accounting.Account) {
	place := a.place.At(changed.Key)
	if *place == 0 {
		a.list = append(a.list, account{})
		*place = int32(len(a.list))
	}
	a.list[*place-1] = account{
		key: changed.Key, total: changed.Total, last: changed.Last, epoch: a.epochs.Number(changed.Epoch), handle: changed.Handle,
	}
}

func (a *accounts) setFormer(former accounting.Former) {
	a.formers.Set(former.Key, a.epochs.Number(former.Epoch), former.Handle, former.Last)
}

// state returns the state with the accounts. Since accounts are never removed,
// their sums are the totals of all ports together.
func (a *accounts) state() accounting.State {
	state := accounting.State{Accounts: make([]accounting.Account, 0, len(a.list)), Formers: a.formers.All(&a.epochs)}
	for _, place := range a.place.All() {
		account := a.at(place)
		state.Accounts = append(state.Accounts, account)
		if account.Key.Direction == accounting.In {
			state.In = state.In.Plus(account.Total)
		} else {
			state.Out = state.Out.Plus(account.Total)
		}
	}
	return state
}
