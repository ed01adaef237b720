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

// Detach removes the elements of keys from the maps, so that nothing more is
// counted. The counters are kept for a last reading. A key without an element is
// not an error.
func (t *Table) Detach(keys []accounting.Key) error {
	t.verified.remove(keys)
	if err := t.detachTargets(keys); err != nil {
		return fmt.Errorf("detaching the targets of %s: %w", describeKeys(keys), t.ownership(err))
	}
	return t.removeEach("detaching", keys, t.attached, func(b *batch, key accounting.Key) {
		id := newElementKey(key)
		b.deleteElement(portMap(key.Direction), id[:], false)
	})
}

// Delete removes the counters of detached keys. A missing counter is not an
// error. A counter that an element still leads to is kept, and Delete fails.
func (t *Table) Delete(keys []accounting.Key) error {
	err := t.removeEach("deleting", keys, t.existing, func(b *batch, key accounting.Key) {
		b.deleteObject(key.String(), unix.NFT_OBJECT_COUNTER)
	})
	if err == nil {
		t.reader.forget(keys)
	}
	return err
}

// removeEach commits one message per key, as remove appends it. The kernel refuses
// a batch with a key that is removed already. present then lists the keys that are
// left, since the socket may not have held every refusal.
func (t *Table) removeEach(op string, keys []accounting.Key,
	present func() (*accounting.KeyMap[bool], error), remove func(*batch, accounting.Key),
) error {
	var left *accounting.KeyMap[bool]
	for part := range slices.Chunk(keys, min(keysPerBatch, t.keysPerPart)) {
		if err := t.removePart(part, &left, present, remove); err != nil {
			return fmt.Errorf("%s %s: %w", op, describeKeys(part), t.ownership(err))
		}
	}
	return nil
}

func (t *Table) removePart(part []accounting.Key, left **accounting.KeyMap[bool],
	present func() (*accounting.KeyMap[bool], error), remove func(*batch, accounting.Key),
) error {
	var inUse, err error
	for range attempts {
		part = among(part, *left)
		if len(part) == 0 {
			return inUse
		}
		b := newBatch()
		for _, key := range part {
			remove(b, key)
		}
		if err = t.commit(b); err == nil {
			return inUse
		}
		var refused *batchError
		switch isBatchError := errors.As(err, &refused); {
		case isBatchError && refused.refusedWith(unix.ENOENT), errors.Is(err, unix.ENOBUFS):
			var lookErr error
			if *left, lookErr = present(); lookErr != nil {
				return lookErr
			}
		case isBatchError && refused.refusedWith(unix.EBUSY):
			inUse = err
			part = refused.without(part, unix.EBUSY)
		default:
			return err
		}
	}
	return err
}

// among returns the keys that are in the set. A nil set has all keys.
func among(keys []accounting.Key, set *accounting.KeyMap[bool]) []accounting.Key {
	if set == nil {
		return keys
	}
	var chosen []accounting.Key
	for _, key := range keys {
		if set.Get(key) {
			chosen = append(chosen, key)
		}
	}
	return chosen
}

// attached returns the keys that have an element in their map.
func (t *Table) attached() (*accounting.KeyMap[bool], error) {
	found := &inspection{}
	if err := errors.Join(t.conn.inspectSets(found), t.conn.inspectElements(found, portMaps[:])); err != nil {
		return nil, err
	}
	for _, wrong := range found.wrong {
		if key, ok := parseElementKey(wrong.key, wrong.home.direction); ok {
			*found.attached.At(key) = true // it counts, although for another counter
		}
	}
	return &found.attached, nil
}

// existing returns the keys that have a counter.
func (t *Table) existing() (*accounting.KeyMap[bool], error) {
	found := &inspection{}
	err := t.conn.inspectObjects(found)
	return &found.counters, err
}

// Stop ends all counting at once by removing the chains. The counters are kept
// for a last reading.
func (t *Table) Stop() error {
	return t.onOurs("stopping", func(table tableInfo) (*batch, error) {
		found, err := t.inspect()
		if err != nil || len(found.chains) == 0 {
			return nil, err
		}
		b := newBatch()
		b.flushChains(found.chains)
		b.deleteChains(found.chains)
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
		b.deleteTable(TableName)
		return b, nil
	})
}

// onOurs commits what plan returns for the table, and plans again if others have
// changed it meanwhile. A table that is not ours is left alone.
func (t *Table) onOurs(op string, plan func(tableInfo) (*batch, error)) (err error) {
	for range attempts {
		_, table, lookErr := t.conn.getTable()
		switch {
		case lookErr != nil:
			return lookErr
		case table.exists() && !table.marked:
			return ErrForeignTable
		}
		b, planErr := plan(table)
		if planErr != nil || b == nil {
			return planErr
		}
		t.verified.known = false
		if _, err = t.commitTo(table, b); err == nil {
			return nil
		}
		if !errors.Is(err, errTableChanged) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ERESTART) {
			break
		}
	}
	return fmt.Errorf("%s table inet %s: %w", op, TableName, t.ownership(err))
}
