package nft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// elementsPerMessage keeps a list of elements within the 64 KiB that the length
// of a nested attribute can say; one element takes at most 56 bytes.
const elementsPerMessage = 1000

// makeTable appends the table with its mark and epoch. Flags are only sent
// where an owner is wanted: they can't be given to a table later.
func (b *batch) makeTable(name string, epoch accounting.Epoch, flags uint32) {
	b.change(newTable, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b.text(unix.NFTA_TABLE_NAME, name)
	if flags != 0 {
		b.uint32(unix.NFTA_TABLE_FLAGS, flags)
	}
	data := userdata.AppendString(nil, userdata.TypeComment, Mark)
	b.bytes(tableAttributeUserdata, userdata.Append(data, epochType, epoch[:]))
	b.end()
}

// adoptTable appends the taking over of a table that outlived its owner.
func (b *batch) adoptTable() {
	b.change(newTable, 0)
	b.text(unix.NFTA_TABLE_NAME, TableName)
	b.uint32(unix.NFTA_TABLE_FLAGS, tableFlagOwner|tableFlagPersist)
	b.end()
}

func (b *batch) dropTable(name string) {
	b.change(deleteTable, 0)
	b.text(unix.NFTA_TABLE_NAME, name)
	b.end()
}

// addCounters appends a named counter for each key. One that exists already
// keeps its counts.
func (b *batch) addCounters(keys []accounting.Key) {
	var name []byte
	for _, key := range keys {
		name = append(appendCounterName(name[:0], key), 0)
		b.change(newObject, unix.NLM_F_CREATE)
		b.text(unix.NFTA_OBJ_TABLE, TableName)
		b.bytes(unix.NFTA_OBJ_NAME, name)
		b.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		b.endNest(b.nest(unix.NFTA_OBJ_DATA))
		b.end()
	}
}

func (b *batch) dropCounters(keys []accounting.Key) {
	for _, key := range keys {
		b.change(deleteObject, 0)
		b.text(unix.NFTA_OBJ_TABLE, TableName)
		b.text(unix.NFTA_OBJ_NAME, key.String())
		b.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		b.end()
	}
}

// addMaps appends the two maps from protocol and port to counter. They have no
// declared size: that would be a cap.
func (b *batch) addMaps() {
	for i, direction := range directions {
		b.change(newSet, unix.NLM_F_CREATE)
		b.text(unix.NFTA_SET_TABLE, TableName)
		b.text(unix.NFTA_SET_NAME, mapName(direction))
		b.uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_OBJECT)
		b.uint32(unix.NFTA_SET_KEY_TYPE, mapKeyType)
		b.uint32(unix.NFTA_SET_KEY_LEN, uint32(len(elementKey{})))
		b.uint32(unix.NFTA_SET_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		b.uint32(unix.NFTA_SET_ID, uint32(i+1))
		b.end()
	}
}

// addElements appends the elements that lead to the counters of keys.
func (b *batch) addElements(keys []accounting.Key) {
	var name []byte
	for _, direction := range directions {
		chosen := ofDirection(keys, direction)
		for part := range slices.Chunk(chosen, elementsPerMessage) {
			b.change(newElement, unix.NLM_F_CREATE)
			b.text(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
			b.text(unix.NFTA_SET_ELEM_LIST_SET, mapName(direction))
			list := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			for _, key := range part {
				element := b.nest(unix.NFTA_LIST_ELEM)
				id := newElementKey(key)
				b.elementKey(id[:])
				name = append(appendCounterName(name[:0], key), 0)
				b.bytes(unix.NFTA_SET_ELEM_OBJREF, name)
				b.endNest(element)
			}
			b.endNest(list)
			b.end()
		}
	}
}

func (b *batch) elementKey(key []byte) {
	nest := b.nest(unix.NFTA_SET_ELEM_KEY)
	b.bytes(unix.NFTA_DATA_VALUE, key)
	b.endNest(nest)
}

// dropElement appends the removal of one element, a message of its own so that
// the kernel's refusal names it.
func (b *batch) dropElement(direction accounting.Direction, key []byte) {
	b.change(deleteElement, 0)
	b.text(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
	b.text(unix.NFTA_SET_ELEM_LIST_SET, mapName(direction))
	list := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	element := b.nest(unix.NFTA_LIST_ELEM)
	b.elementKey(key)
	b.endNest(element)
	b.endNest(list)
	b.end()
}

func ofDirection(keys []accounting.Key, direction accounting.Direction) []accounting.Key {
	chosen := make([]accounting.Key, 0, len(keys)/2+1)
	for _, key := range keys {
		if key.Direction == direction {
			chosen = append(chosen, key)
		}
	}
	return chosen
}

// addChains appends the base chains and the rule of each.
func (b *batch) addChains(hook Hook) {
	for _, c := range hook.chains() {
		b.change(newChain, unix.NLM_F_CREATE)
		b.text(unix.NFTA_CHAIN_TABLE, TableName)
		b.text(unix.NFTA_CHAIN_NAME, c.name)
		nest := b.nest(unix.NFTA_CHAIN_HOOK)
		b.uint32(unix.NFTA_HOOK_HOOKNUM, c.hook)
		b.uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.priority))
		b.endNest(nest)
		b.uint32(unix.NFTA_CHAIN_POLICY, accept)
		b.text(unix.NFTA_CHAIN_TYPE, "filter")
		b.end()

		b.change(newRule, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
		b.text(unix.NFTA_RULE_TABLE, TableName)
		b.text(unix.NFTA_RULE_CHAIN, c.name)
		b.bytes(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, c.expressions())
		b.end()
	}
}

// expressions encodes the chain's rule as nft's own bytecode for it: load the
// protocol, load the port beside it, look the two up and count.
func (c chain) expressions() []byte {
	e := &encoder{}
	if c.fib != 0 {
		e.expression("fib", func() {
			e.uint32(unix.NFTA_FIB_DREG, unix.NFT_REG_1)
			e.uint32(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE)
			e.uint32(unix.NFTA_FIB_FLAGS, c.fib)
		})
		e.expression("cmp", func() {
			e.uint32(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
			e.uint32(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
			nest := e.nest(unix.NFTA_CMP_DATA)
			e.bytes(unix.NFTA_DATA_VALUE, nativeEndian(routeLocal))
			e.endNest(nest)
		})
	}
	e.expression("meta", func() {
		e.uint32(unix.NFTA_META_DREG, unix.NFT_REG_1)
		e.uint32(unix.NFTA_META_KEY, unix.NFT_META_L4PROTO)
	})
	e.expression("payload", func() {
		offset := uint32(2) // of the destination port in the header of TCP and UDP
		if c.direction == accounting.Out {
			offset = 0
		}
		e.uint32(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG32_01)
		e.uint32(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_TRANSPORT_HEADER)
		e.uint32(unix.NFTA_PAYLOAD_OFFSET, offset)
		e.uint32(unix.NFTA_PAYLOAD_LEN, 2)
	})
	e.expression("objref", func() {
		e.uint32(unix.NFTA_OBJREF_SET_SREG, unix.NFT_REG_1)
		e.text(unix.NFTA_OBJREF_SET_NAME, mapName(c.direction))
	})
	return e.buffer
}

func (e *encoder) expression(name string, attributes func()) {
	element := e.nest(unix.NFTA_LIST_ELEM)
	e.text(unix.NFTA_EXPR_NAME, name)
	data := e.nest(unix.NFTA_EXPR_DATA)
	attributes()
	e.endNest(data)
	e.endNest(element)
}

// dropStructure appends the removal of all rules, sets and chains that are in
// the table. The counters stay.
func (b *batch) dropStructure(found *inspection) {
	b.dropRules(found)
	for _, set := range found.sets {
		if set.flags&unix.NFT_SET_ANONYMOUS != 0 {
			continue // went with its rule
		}
		b.change(deleteSet, 0)
		b.text(unix.NFTA_SET_TABLE, TableName)
		b.text(unix.NFTA_SET_NAME, set.name)
		b.end()
	}
	b.dropChains(found)
}

func (b *batch) dropRules(found *inspection) {
	for _, c := range found.chains {
		b.change(deleteRule, 0)
		b.text(unix.NFTA_RULE_TABLE, TableName)
		b.text(unix.NFTA_RULE_CHAIN, c.name)
		b.end()
	}
}

func (b *batch) dropChains(found *inspection) {
	for _, c := range found.chains {
		b.change(deleteChain, 0)
		b.text(unix.NFTA_CHAIN_TABLE, TableName)
		b.text(unix.NFTA_CHAIN_NAME, c.name)
		b.end()
	}
}

// Detach takes the elements of keys out of the maps, so that nothing more is
// counted; their counters stay to be read. A key without an element is none of
// an error.
func (t *Table) Detach(keys []accounting.Key) error {
	return t.dropEach("detaching", keys, func(b *batch, key accounting.Key) {
		id := newElementKey(key)
		b.dropElement(key.Direction, id[:])
	})
}

// Delete removes the counters of detached keys. A counter that is not there is
// none of an error.
func (t *Table) Delete(keys []accounting.Key) error {
	if err := t.dropEach("deleting", keys, func(b *batch, key accounting.Key) {
		b.dropCounters([]accounting.Key{key})
	}); err != nil {
		return err
	}
	t.reader.forget(keys)
	return nil
}

// dropEach commits one message a key, all or none, but for those that are gone
// already.
func (t *Table) dropEach(op string, keys []accounting.Key, drop func(*batch, accounting.Key)) error {
	for len(keys) > 0 {
		b := newBatch()
		for _, key := range keys {
			drop(b, key)
		}
		err := t.conn.commit(b)
		if err == nil {
			return nil
		}
		var refused *batchError
		if !errors.As(err, &refused) || !refused.any(unix.ENOENT) {
			return fmt.Errorf("%s %s: %w", op, abbreviate("counter", keys), t.ownership(err))
		}
		keys = refused.without(keys, unix.ENOENT)
	}
	return nil
}

// Stop ends all counting at once by taking the chains out: the counters stay to
// be read for the last time.
func (t *Table) Stop() error {
	return t.retry(func() error {
		found, err := t.conn.inspect()
		if err != nil || found.table == nil || len(found.chains) == 0 {
			return err
		}
		b := newBatch()
		b.dropRules(found)
		b.dropChains(found)
		return t.conn.commit(b)
	})
}

// Remove deletes the table with all that is in it. It fails with
// accounting.ErrNoTable where there is none and with ErrForeignTable where it is
// not ours.
func (t *Table) Remove() error {
	info, _, err := t.conn.getTable()
	switch {
	case err != nil:
		return err
	case info == nil:
		return accounting.ErrNoTable
	case !info.marked:
		return ErrForeignTable
	}
	t.conn.library.DelTable(libraryTable)
	if err := t.conn.library.Flush(); err != nil {
		return fmt.Errorf("deleting table inet %s: %w", TableName, t.ownership(err))
	}
	return nil
}
