package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// keysPerBatch bounds one transaction of a removal: a refusal undoes one part,
// and the parts before it stay removed.
const keysPerBatch = 4000

// removalLength returns how many keys a transaction removes.
func (t *Table) removalLength() int { return min(keysPerBatch, t.keysPerPart) }

// Detach removes the elements of keys from the maps, so that nothing more is
// counted. The counters are kept for a last reading. A key without an element is
// not an error.
func (t *Table) Detach(keys []accounting.Key) error {
	t.known.detached(keys)
	if err := t.detachTargets(keys); err != nil {
		return fmt.Errorf("detaching the targets of %s: %w", describeKeys(keys), t.ownership(err))
	}
	r := removal{table: t, list: t.elementKeys, add: func(b *batch, key accounting.Key) {
		id := newElementKey(key)
		b.deleteElement(portMap(key.Direction), id[:], false)
	}}
	return r.remove("detaching", keys)
}

// Delete removes the counters of detached keys. A missing counter is not an
// error. A counter that an element still leads to is kept, and Delete fails.
func (t *Table) Delete(keys []accounting.Key) error {
	r := removal{table: t, list: t.counterKeys, add: func(b *batch, key accounting.Key) {
		b.deleteObject(key.String(), unix.NFT_OBJECT_COUNTER)
	}}
	err := r.remove("deleting", keys)
	if err == nil {
		t.known.counters.remove(keys)
	}
	return err
}

// removal removes what keys have in the table, by one message per key. The kernel
// refuses a batch with a message for a key that has nothing.
type removal struct {
	table *Table
	add   func(*batch, accounting.Key)             // appends the message for a key
	list  func() (*accounting.KeyMap[bool], error) // lists the keys that are left
	left  *accounting.KeyMap[bool]                 // as they were listed; nil: they were not
}

func (r *removal) remove(op string, keys []accounting.Key) error {
	for part := range slices.Chunk(keys, r.table.removalLength()) {
		if err := r.removePart(part); err != nil {
			return fmt.Errorf("%s %s: %w", op, describeKeys(part), r.table.ownership(err))
		}
	}
	return nil
}

// removePart removes keys in one transaction. Those in use are left: they make it fail
// after the others are removed.
func (r *removal) removePart(keys []accounting.Key) error {
	var inUse, err error
	for range attempts {
		if r.left != nil {
			keys = among(keys, r.left)
		}
		if len(keys) == 0 {
			return inUse
		}
		b := newBatch()
		for _, key := range keys {
			r.add(b, key)
		}
		err = r.table.commit(b)
		refused, _ := errors.AsType[*batchError](err)
		switch {
		case err == nil:
			return inUse
		case refused.refusedWith(unix.ENOENT), errors.Is(err, unix.ENOBUFS):
			// The socket may not have held every refusal.
			var listErr error
			if r.left, listErr = r.list(); listErr != nil {
				return listErr
			}
		case refused.refusedWith(unix.EBUSY):
			inUse = err
			keys = refused.without(keys, unix.EBUSY)
		default:
			return err
		}
	}
	return err
}

// elementKeys returns the keys that have an element in their map.
func (t *Table) elementKeys() (*accounting.KeyMap[bool], error) {
	found, err := t.inspectMaps(portMaps)
	if err != nil {
		return nil, err
	}
	for _, wrong := range found.wrong {
		if key, ok := parseElementKey(wrong.key, wrong.home.direction); ok {
			*found.attached.At(key) = true // it counts, although for another counter
		}
	}
	return &found.attached, nil
}

// counterKeys returns the keys that have a counter.
func (t *Table) counterKeys() (*accounting.KeyMap[bool], error) {
	found := &inspection{}
	err := t.conn.inspectObjects(found)
	return &found.counters, err
}

// Stop ends all counting at once by removing the chains. The counters are kept
// for a last reading.
func (t *Table) Stop() error {
	return t.onOurs("stopping", func(tableInfo) (*batch, error) {
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
	return t.onOurs("deleting", func(table tableInfo) (*batch, error) {
		if !table.exists() {
			return nil, accounting.ErrNoTable
		}
		b := newBatch()
		b.deleteTable()
		return b, nil
	})
}

// onOurs commits what plan returns for the table, and plans again if others have
// changed it meanwhile. A table that is not ours is left alone.
func (t *Table) onOurs(op string, plan func(tableInfo) (*batch, error)) (err error) {
	for range attempts {
		if err := t.look(); err != nil {
			return err
		}
		table := t.known.table
		if table.exists() && !table.marked {
			return ErrForeignTable
		}
		b, planErr := plan(table)
		if planErr != nil || b == nil {
			return planErr
		}
		t.known.verified = false
		if err = t.commitTo(table, b); err == nil {
			return nil
		}
		if !errors.Is(err, errTableChanged) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ERESTART) {
			break
		}
	}
	return fmt.Errorf("%s table inet %s: %w", op, TableName, t.ownership(err))
}
