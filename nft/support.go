package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Support lists the features that some kernels with nf_tables lack.
type Support struct {
	ObjectMaps  bool // maps that lead to counters; nothing is counted without them
	OwnedTables bool // the flags owner and persist, for --own=yes
}

// Support probes the kernel with changes that the kernel checks and then refuses
// as a whole, so that nothing is changed.
func (t *Table) Support() (Support, error) {
	objectMaps, err := t.conn.wouldAccept(func(b *batch) {
		b.createTable(accounting.Epoch{}, 0)
		b.referToCounter()
	})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return Support{}, fmt.Errorf("trying a reference to a counter: %w", err)
	}
	owned, err := t.conn.acceptsOwner()
	return Support{ObjectMaps: objectMaps, OwnedTables: owned}, err
}

// acceptsOwner reports whether the kernel can keep an owned table.
func (c *conn) acceptsOwner() (bool, error) {
	owned, err := c.wouldAccept(func(b *batch) {
		b.createTable(accounting.Epoch{}, tableFlagOwner|tableFlagPersist)
	})
	if err != nil && !errors.Is(err, ErrOwnUnsupported) {
		return false, fmt.Errorf("trying an owned table: %w", err)
	}
	return owned, nil
}

// wouldAccept reports whether the kernel would accept the changes, which create
// a table of their own. The last message deletes that table a second time. The
// kernel refuses it, and the whole batch with it.
func (c *conn) wouldAccept(change func(*batch)) (bool, error) {
	b := newBatch()
	b.table += "-check"
	change(b)
	b.deleteTable()
	b.deleteTable()
	last := b.count - 2 // the batch's begin does not count
	err := c.commit(b)
	var refused *batchError
	if errors.As(err, &refused) && len(refused.failures) == 1 && refused.failures[0] == (failure{last, msgDelTable, unix.ENOENT}) {
		return true, nil
	}
	return false, err
}

// referToCounter appends a chain without a hook and a rule in it that refers to a
// counter.
func (b *batch) referToCounter() {
	const name = "check"
	b.change(msgNewObject, unix.NLM_F_CREATE)
	b.str(unix.NFTA_OBJ_NAME, name)
	b.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	b.endNest(b.nest(unix.NFTA_OBJ_DATA))
	b.end()

	b.change(msgNewChain, unix.NLM_F_CREATE)
	b.str(unix.NFTA_CHAIN_NAME, name)
	b.end()

	refer := statement{encode: func(e *encoder) {
		e.expression("objref", func() {
			e.be32(unix.NFTA_OBJREF_IMM_TYPE, unix.NFT_OBJECT_COUNTER)
			e.str(unix.NFTA_OBJREF_IMM_NAME, name)
		})
	}}
	b.createRules(chain{name: name, rules: []rule{{refer}}})
}
