package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Support is what the kernel can do of what is not in every kernel with
// nf_tables, whose own absence Open tells.
type Support struct {
	References  bool // maps that lead to counters; nothing is counted without
	OwnedTables bool // --own=yes
}

// Support finds out what the kernel can do. It lets the kernel check changes
// that it then refuses as a whole, so that nothing is changed.
func (t *Table) Support() (Support, error) {
	references, err := t.conn.wouldAccept(func(b *batch, table string) {
		b.makeTable(table, accounting.Epoch{}, 0)
		b.addReference(table)
	})
	if err != nil && !errors.Is(err, ErrNoObjectReference) {
		return Support{}, fmt.Errorf("trying references to counters: %w", err)
	}
	owned, err := t.conn.wouldAccept(func(b *batch, table string) {
		b.makeTable(table, accounting.Epoch{}, tableFlagOwner|tableFlagPersist)
	})
	if err != nil && !errors.Is(err, ErrOwnUnsupported) {
		return Support{}, fmt.Errorf("trying an owned table: %w", err)
	}
	return Support{References: references, OwnedTables: owned}, nil
}

// wouldAccept tells whether the kernel accepts changes to a table that they
// make themselves. The last message deletes that table once more when it is
// gone already: that is refused, and all that went before with it.
func (c *conn) wouldAccept(change func(b *batch, table string)) (bool, error) {
	const table = TableName + "-check"
	b := newBatch()
	change(b, table)
	b.dropTable(table)
	b.dropTable(table)
	last := int(b.count) - 2 // messages are numbered from 1, the batch's begin is one
	err := c.commit(b)
	var refused *batchError
	if errors.As(err, &refused) && len(refused.failures) == 1 && refused.failures[0] == (failure{last, unix.ENOENT}) {
		return true, nil
	}
	return false, err
}

// addReference appends a chain without a hook and a rule in it that refers to a
// counter.
func (b *batch) addReference(table string) {
	const name = "check"
	b.change(newObject, unix.NLM_F_CREATE)
	b.text(unix.NFTA_OBJ_TABLE, table)
	b.text(unix.NFTA_OBJ_NAME, name)
	b.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	b.endNest(b.nest(unix.NFTA_OBJ_DATA))
	b.end()

	b.change(newChain, unix.NLM_F_CREATE)
	b.text(unix.NFTA_CHAIN_TABLE, table)
	b.text(unix.NFTA_CHAIN_NAME, name)
	b.end()

	b.change(newRule, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	b.text(unix.NFTA_RULE_TABLE, table)
	b.text(unix.NFTA_RULE_CHAIN, name)
	list := b.nest(unix.NFTA_RULE_EXPRESSIONS)
	b.expression("objref", func() {
		b.uint32(unix.NFTA_OBJREF_IMM_TYPE, unix.NFT_OBJECT_COUNTER)
		b.text(unix.NFTA_OBJREF_IMM_NAME, name)
	})
	b.endNest(list)
	b.end()
}
