package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Attach begins to count more ports, without looking at the table: it only adds
// their counters and elements. It fails with accounting.ErrChanged if somebody
// else has changed the ruleset, ours or another table, since the last Verify that
// found nothing or the last Install, or if a port is counted already. Then nothing is
// changed, except that the first ones may have been added of more ports than fit into
// one transaction.
func (t *Table) Attach(ports accounting.Ports) error {
	_, keys := partition(ports.Keys(), &t.known.counted)
	if !t.known.verified {
		t.known.refuse(keys)
		return accounting.ErrChanged
	}
	err := t.attachParts(keys, func(b *batch) error {
		b.onlyAt(t.known.generation)
		switch err := t.commit(b); {
		case errors.Is(err, unix.ERESTART), errors.Is(err, unix.EEXIST):
			t.known.refuse(keys)
			return accounting.ErrChanged
		default:
			return t.ownership(err)
		}
	})
	if err != nil {
		return fmt.Errorf("adding %s: %w", describeKeys(keys), err)
	}
	t.known.attached(keys)
	return nil
}

// attachParts adds keys in as many transactions as it takes.
func (t *Table) attachParts(keys []accounting.Key, commit func(*batch) error) error {
	for part := range slices.Chunk(keys, t.additionsWithTargets()) {
		b := newBatch()
		b.createCounters(part)
		b.createElements(part)
		b.createForwardElements(t.layout.targetsOf(part))
		if err := commit(b); err != nil {
			return err
		}
		t.known.counters.add(part...)
	}
	return nil
}

// commit commits a batch.
func (t *Table) commit(b *batch) error {
	t.conn.progress()
	err := t.conn.commit(b)
	if err == nil {
		t.known.committed()
	}
	return err
}
