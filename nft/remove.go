package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Detach removes the elements of keys from the maps, so that nothing more is
// counted. The counters are kept for a last reading. A key without an element is
// not an error.
func (t *Table) Detach(keys []accounting.Key) error {
	t.known.detached(keys)
	if err := t.detachTargets(keys); err != nil {
		return fmt.Errorf("detaching the targets of %s: %w", describeKeys(keys), t.ownership(err))
	}
	r := removal[accounting.Key]{table: t, left: t.attachedOf, add: func(b *batch, key accounting.Key) {
		id := newElementKey(key)
		b.deleteElement(portMap(key.Direction), id[:], false)
	}}
	if err := r.remove(keys); err != nil {
		return fmt.Errorf("detaching %s: %w", describeKeys(keys), t.ownership(err))
	}
	return nil
}

// detachTargets removes the elements that lead to the counters of keys from the
// maps of targets.
func (t *Table) detachTargets(keys []accounting.Key) error {
	var removed accounting.KeyMap[bool]
	for _, key := range keys {
		*removed.At(key) = true
	}
	leadsToRemoved := func(f forwardElement) bool { return removed.Get(f.counter()) }
	if !t.layout.undecided && !slices.ContainsFunc(t.layout.targets, leadsToRemoved) {
		return nil
	}
	left := func([]forwardElement) (elements []forwardElement, err error) {
		found := &inspection{}
		err = t.conn.inspectSets(found, forwardMaps)
		for element := range found.forwarded {
			if leadsToRemoved(element) {
				elements = append(elements, element)
			}
		}
		return elements, err
	}
	elements, err := left(nil)
	if err != nil {
		return err
	}
	r := removal[forwardElement]{table: t, left: left, add: func(b *batch, element forwardElement) {
		b.deleteElement(element.home, element.key(), false)
	}}
	return r.remove(elements)
}

// Delete removes the counters of detached keys. A missing counter is not an
// error. A counter that an element still leads to is kept, and Delete fails.
func (t *Table) Delete(keys []accounting.Key) error {
	r := removal[accounting.Key]{table: t, left: t.existingOf, add: func(b *batch, key accounting.Key) {
		b.deleteObject(key.String(), unix.NFT_OBJECT_COUNTER)
	}}
	if err := r.remove(keys); err != nil {
		return fmt.Errorf("deleting %s: %w", describeKeys(keys), t.ownership(err))
	}
	t.known.counters.remove(keys)
	return nil
}

// removal removes items from the table, by one message per item. The kernel refuses a
// batch with a message for an item that is not there.
type removal[T any] struct {
	table *Table
	add   func(*batch, T)        // appends the message for an item
	left  func([]T) ([]T, error) // returns which of the items are there
}

// remove removes the items in as many transactions as it takes. Those in use are left:
// they make it fail after the others are removed.
func (r *removal[T]) remove(items []T) (inUse error) {
	for failures := 0; len(items) > 0; {
		part := items[:min(len(items), maxRemovals, r.table.additions)]
		b := newBatch()
		for _, item := range part {
			r.add(b, item)
		}
		err := r.table.commit(b)
		if err == nil {
			items, failures = items[len(part):], 0
			continue
		}
		refused, _ := errors.AsType[*batchError](err)
		switch failures++; {
		case failures == maxAttempts:
			return err
		case refused.refusedWith(unix.ENOENT), errors.Is(err, unix.ENOBUFS):
			// The socket may not have held every refusal.
			if items, err = r.left(items); err != nil {
				return err
			}
		case refused.refusedWith(unix.EBUSY):
			inUse = err
			items = slices.Concat(accepted(refused, part, unix.EBUSY), items[len(part):])
		default:
			return err
		}
	}
	return inUse
}

// attachedOf returns the keys that have an element in their map, although it may lead to
// another counter.
func (t *Table) attachedOf(keys []accounting.Key) ([]accounting.Key, error) {
	found := &inspection{}
	err := t.conn.inspectSets(found, portMaps)
	for _, wrong := range found.wrong {
		if key, ok := parseElementKey(wrong.key, wrong.home.direction); ok {
			*found.attached.At(key) = true
		}
	}
	attached, _ := partition(keys, &found.attached)
	return attached, err
}

// existingOf returns the keys that have a counter.
func (t *Table) existingOf(keys []accounting.Key) ([]accounting.Key, error) {
	found := &inspection{}
	err := t.conn.inspectObjects(found)
	existing, _ := partition(keys, &found.counters)
	return existing, err
}

// Stop ends all counting at once by removing the chains. The counters are kept
// for a last reading.
func (t *Table) Stop() error {
	return t.onMarked("stopping", func(tableInfo) (*batch, error) {
		found, err := t.inspect()
		if err != nil || len(found.chains) == 0 {
			return nil, err
		}
		b := newBatch()
		b.deleteOf(msgDelRule, found.chains)
		b.deleteOf(msgDelChain, found.chains)
		return b, nil
	})
}

// Remove deletes the table and everything in it. It fails with
// accounting.ErrNoTable if there is no table, and with ErrForeignTable if the
// table is not ours.
func (t *Table) Remove() error {
	return t.onMarked("deleting", func(table tableInfo) (*batch, error) {
		if !table.exists() {
			return nil, accounting.ErrNoTable
		}
		b := newBatch()
		b.deleteTable()
		return b, nil
	})
}

// onMarked commits what plan returns for the table, and plans again if others have
// changed it meanwhile. A table without our comment is left alone.
func (t *Table) onMarked(op string, plan func(tableInfo) (*batch, error)) (err error) {
	for range maxAttempts {
		if err := t.look(); err != nil {
			return err
		}
		table := t.known.table
		if table.exists() && !table.hasOurComment {
			return ErrForeignTable
		}
		b, planErr := plan(table)
		if planErr != nil || b == nil {
			return planErr
		}
		t.known.noLongerRight()
		if err = t.commitTo(table, b); err == nil {
			return nil
		}
		if !errors.Is(err, errTableChanged) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ERESTART) {
			break
		}
	}
	return fmt.Errorf("%s table inet %s: %w", op, TableName, t.ownership(err))
}
