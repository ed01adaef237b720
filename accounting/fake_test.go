package accounting

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// kernel is a model of the kernel with our table in it, a Source.
type kernel struct {
	table *table // nil: there is none
	made  uint32 // number of tables so far, for the next epoch
	clock time.Time
	other [2]*table // of other network namespaces, in which an agent may run in turn
	known string    // the shape of the table when it was last verified or installed

	targets []Target // that Verify and Install expect
	decided bool     // whether there are any such

	before func(call string) error   // called at the start of every call, which returns its error
	onRead func()                    // called when a reading succeeds
	onMake func()                    // called before a new table is created
	onDrop func(key Key, c *counter) // called before Delete deletes a counter of a table that is not restored
}

// table numbers its handles from 1, as the kernel does, so that only the epoch
// distinguishes its counters from those of another table.
type table struct {
	epoch    Epoch // zero: it was loaded from a file
	handles  uint64
	counters map[Key]*counter
	targets  []Target
	cut      bool // somebody deleted a chain: nothing is counted
}

type counter struct {
	handle   uint64
	value    Count
	truth    Count // all that it has ever counted
	attached bool
	loaded   bool // from a listing, into an existing table
}

var errAttached = errors.New("a counter is in use")

// now is the clock of a meter on this kernel.
func (k *kernel) now() time.Time { return k.clock }

func newKernel() *kernel { return &kernel{clock: time.Unix(1e9, 0)} }

func (k *kernel) call(name string, keys []Key) error {
	if k.before == nil {
		return nil
	}
	if len(keys) > 0 {
		keys = slices.SortedFunc(slices.Values(keys), Key.Compare)
		name = fmt.Sprintf("%s %v", name, keys)
	}
	return k.before(name)
}

func (k *kernel) Read(sample *Sample) error {
	sample.Readings = sample.Readings[:0]
	if err := k.call("read", nil); err != nil {
		return err
	}
	if k.table == nil {
		return ErrNoTable
	}
	sample.Epoch = k.table.epoch
	for _, key := range k.table.keys() {
		c := k.table.counters[key]
		sample.Readings = append(sample.Readings, Reading{Key: key, Handle: c.handle, Count: c.value, Loaded: c.loaded})
	}
	if k.table.epoch == (Epoch{}) {
		return ErrRestored
	}
	if k.onRead != nil {
		k.onRead()
	}
	return nil
}

func (k *kernel) Verify(ports Ports) (findings []string, err error) {
	if err := k.call("verify", nil); err != nil {
		return nil, err
	}
	switch {
	case k.table == nil:
		return []string{"no table"}, nil
	case k.table.epoch == Epoch{}:
		return []string{"restored"}, nil
	case k.table.cut:
		findings = append(findings, "no chain")
	}
	if k.decided && !slices.Equal(k.table.targets, k.targets) {
		findings = append(findings, "other targets")
	}
	for _, key := range ports.Keys() {
		if c := k.table.counters[key]; c == nil || !c.attached {
			findings = append(findings, "not counting: "+key.String())
		}
	}
	k.known = ""
	if len(findings) == 0 {
		k.known = k.shape()
	}
	return findings, nil
}

// shape describes the table without the values of its counters.
func (k *kernel) shape() string {
	if k.table == nil {
		return ""
	}
	shape := fmt.Sprintf("%p %x %t %v", k.table, k.table.epoch, k.table.cut, k.table.targets)
	for _, key := range k.table.keys() {
		c := k.table.counters[key]
		shape += fmt.Sprintf(" %s %d %t", key, c.handle, c.attached)
	}
	return shape
}

func (k *kernel) Attach(ports Ports) error {
	if err := k.call("attach", ports.Keys()); err != nil {
		return err
	}
	if k.known == "" || k.known != k.shape() {
		return ErrChanged
	}
	k.table.attach(ports.Keys())
	k.known = k.shape()
	return nil
}

func (k *kernel) Install(ports Ports) error {
	if err := k.call("install", ports.Keys()); err != nil {
		return err
	}
	if k.table == nil || k.table.epoch == (Epoch{}) {
		if k.onMake != nil {
			k.onMake()
		}
		k.made++
		k.table = &table{counters: make(map[Key]*counter)}
		binary.BigEndian.PutUint32(k.table.epoch[:], k.made)
	}
	k.table.cut = false
	if k.decided {
		k.table.targets = k.targets
	}
	k.table.attach(ports.Keys())
	k.known = k.shape()
	return nil
}

func (k *kernel) SetForwarding(f Forwarding) { k.targets, k.decided = f.Targets, f.Known }

func (k *kernel) Targets() ([]Target, error) {
	if err := k.call("targets", nil); err != nil || k.table == nil {
		return nil, err
	}
	return k.table.targets, nil
}

func (k *kernel) Detach(keys []Key) error {
	if err := k.call("detach", keys); err != nil {
		return err
	}
	defer k.keepKnown(k.shape())
	for _, key := range keys {
		if c := k.counter(key); c != nil {
			c.attached = false
		}
	}
	return nil
}

// keepKnown keeps the table known after a change of ours, if it was known before.
func (k *kernel) keepKnown(before string) {
	if k.known == before {
		k.known = k.shape()
	}
}

func (k *kernel) Delete(keys []Key) error {
	if err := k.call("delete", keys); err != nil {
		return err
	}
	for _, key := range keys {
		if c := k.counter(key); c != nil && c.attached {
			return errAttached // and nothing was deleted
		}
	}
	defer k.keepKnown(k.shape())
	for _, key := range keys {
		if c := k.counter(key); c != nil {
			if k.onDrop != nil && k.table.epoch != (Epoch{}) {
				k.onDrop(key, c)
			}
			delete(k.table.counters, key)
		}
	}
	return nil
}

// counter returns the key's counter, or nil if there is none.
func (k *kernel) counter(key Key) *counter {
	if k.table == nil {
		return nil
	}
	return k.table.counters[key]
}

// traffic sends traffic through the counter of a table, or of none, and reports
// whether it was counted.
func (t *table) traffic(key Key, amount Count) bool {
	if t == nil || t.cut || t.counters[key] == nil || !t.counters[key].attached {
		return false
	}
	c := t.counters[key]
	c.value, c.truth = c.value.Plus(amount), c.truth.Plus(amount)
	return true
}

// move goes to another network namespace.
func (k *kernel) move(n int) { k.table, k.other[n] = k.other[n], k.table }

// listing is the table as `nft list ruleset` prints it, without epoch and
// handles.
func (k *kernel) listing() *table {
	if k.table == nil {
		return nil
	}
	listing := &table{counters: make(map[Key]*counter), cut: k.table.cut}
	for _, key := range k.table.keys() {
		listing.add(key)
		listing.counters[key].value = k.table.counters[key].value
		listing.counters[key].attached = k.table.counters[key].attached
	}
	return listing
}

// load replaces the table by a listing. The listing can be loaded again.
func (k *kernel) load(listing *table) {
	k.table = listing
	k.table = k.listing()
}

// loadOnTop loads a listing without a flush before it: existing counters stay as
// they are, and missing ones are created with the values of the listing.
func (k *kernel) loadOnTop(listing *table) {
	if k.table == nil {
		k.load(listing)
		return
	}
	for _, key := range listing.keys() {
		saved := listing.counters[key]
		if k.table.counters[key] == nil {
			k.table.add(key)
			c := k.table.counters[key]
			c.value, c.loaded = saved.value, true
		}
		if saved.attached {
			k.table.counters[key].attached = true
		}
	}
	k.table.cut = k.table.cut && listing.cut
}

func (t *table) add(key Key) {
	if t.counters[key] == nil {
		t.handles++
		t.counters[key] = &counter{handle: t.handles}
	}
}

func (t *table) attach(keys []Key) {
	for _, key := range keys {
		t.add(key)
		t.counters[key].attached = true
	}
}

func (t *table) keys() []Key { return slices.SortedFunc(maps.Keys(t.counters), Key.Compare) }

// disk is a Store.
type disk struct {
	in, out  Count
	accounts map[Key]Account
	formers  map[formerOf]Former
	fault    diskFault

	before func(call string) error
	onSave func() // called when the state is durable
}

type formerOf struct {
	key   Key
	epoch Epoch
}

// diskFault is how saving fails.
type diskFault byte

const (
	diskGood      diskFault = iota
	diskFull                // nothing is written
	diskUncertain           // everything is written, but an error is returned
	diskFaults
)

var errDisk = errors.New("the disk is full")

func newDisk() *disk {
	return &disk{accounts: make(map[Key]Account), formers: make(map[formerOf]Former)}
}

func (d *disk) Save(changed State) error {
	if d.before != nil {
		if err := d.before("save"); err != nil {
			return err
		}
	}
	if d.fault == diskFull {
		return errDisk
	}
	d.in, d.out = changed.In, changed.Out
	for _, account := range changed.Accounts {
		d.accounts[account.Key] = account
	}
	for _, former := range changed.Formers {
		d.formers[formerOf{former.Key, former.Epoch}] = former
	}
	if d.onSave != nil {
		d.onSave()
	}
	if d.fault == diskUncertain {
		return errDisk
	}
	return nil
}

// state returns the state with which an agent begins.
func (d *disk) state() State {
	return State{In: d.in, Out: d.out, Accounts: slices.Collect(maps.Values(d.accounts)), Formers: slices.Collect(maps.Values(d.formers))}
}
