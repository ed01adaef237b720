package nft

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
)

// batch is a transaction: the kernel applies all of its messages or none.
type batch struct {
	encoder
	table      string // that it changes
	generation int    // offset of the generation in the batch's begin message
	finished   bool
}

func newBatch() *batch {
	b := &batch{table: TableName}
	b.begin(msgBatchBegin, 0, familyAny, unix.NFNL_SUBSYS_NFTABLES)
	b.be32(attrBatchGenID, 0)
	b.generation = len(b.buffer) - 4
	b.end()
	return b
}

// onlyAt makes the kernel refuse the batch with ERESTART unless the ruleset is
// at the generation. 0 allows any generation.
func (b *batch) onlyAt(generation uint32) {
	binary.BigEndian.PutUint32(b.buffer[b.generation:], generation)
}

// finish ends the batch. It can be sent again afterwards.
func (b *batch) finish() {
	if !b.finished {
		b.begin(msgBatchEnd, 0, familyAny, unix.NFNL_SUBSYS_NFTABLES)
		b.end()
		b.finished = true
	}
}

// at returns the message at the index, which must exist.
func (b *batch) at(index int) netlink.Message {
	datagram := b.buffer
	for range index {
		datagram = datagram[netlink.Align(int(binary.NativeEndian.Uint32(datagram))):]
	}
	return datagram[:binary.NativeEndian.Uint32(datagram)]
}

// change begins a message about the table.
func (b *batch) change(typ, flags uint16) {
	b.begin(typ, flags, familyInet, 0)
	b.str(attrTable, b.table)
}

// delete appends the removal of a chain, a set or a flowtable by its name, or, with
// msgDelRule, of all rules of a chain.
func (b *batch) delete(typ uint16, name string) {
	b.change(typ, 0)
	b.str(messageKinds[typ].nameAttribute, name)
	b.end()
}

// createTable appends the table with its comment and epoch. Flags are sent only for
// an owned table.
func (b *batch) createTable(epoch accounting.Epoch, flags uint32) {
	b.change(msgNewTable, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	if flags != 0 {
		b.be32(unix.NFTA_TABLE_FLAGS, flags)
	}
	data := userdata.AppendString(nil, userdata.TypeComment, tableComment)
	b.bytes(attrTableUserdata, userdata.Append(data, udataEpoch, epoch[:]))
	b.end()
}

// setTableFlags appends a change of the table's flags: to adopt an orphan, or to
// wake a dormant table.
func (b *batch) setTableFlags(flags uint32) {
	b.change(msgNewTable, 0)
	b.be32(unix.NFTA_TABLE_FLAGS, flags)
	b.end()
}

func (b *batch) deleteTable() {
	b.change(msgDelTable, 0)
	b.end()
}

// createCounters appends a named counter for each key, with the private flag
// that a counter loaded from a file lacks. An existing counter keeps its counts
// and its user data.
func (b *batch) createCounters(keys []accounting.Key) {
	created := userdata.Append(nil, createdFlag, nil)
	b.buffer = slices.Grow(b.buffer, len(keys)*bytesPerKey)
	var name []byte
	for _, key := range keys {
		name = append(key.AppendText(name[:0]), 0)
		b.change(msgNewObject, unix.NLM_F_CREATE)
		b.bytes(unix.NFTA_OBJ_NAME, name)
		b.be32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		b.endNest(b.nest(unix.NFTA_OBJ_DATA))
		b.bytes(attrObjUserdata, created)
		b.end()
	}
}

func (b *batch) deleteObject(name string, objType uint32) {
	b.change(msgDelObject, 0)
	b.str(unix.NFTA_OBJ_NAME, name)
	b.be32(unix.NFTA_OBJ_TYPE, objType)
	b.end()
}

// createSet appends a map. It has no declared size: that would be a hard cap.
func (b *batch) createSet(m tableSet) {
	b.change(msgNewSet, unix.NLM_F_CREATE)
	b.str(unix.NFTA_SET_NAME, m.name)
	if m.kind != hostAddresses {
		b.be32(unix.NFTA_SET_FLAGS, unix.NFT_SET_OBJECT)
		b.be32(unix.NFTA_SET_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	}
	b.be32(unix.NFTA_SET_KEY_TYPE, m.keyType())
	b.be32(unix.NFTA_SET_KEY_LEN, uint32(m.keyLength()))
	b.be32(unix.NFTA_SET_ID, m.id)
	b.end()
}

// createElements appends the elements that lead to the counters of keys. The kernel
// refuses those that exist: a batch that changes nothing would not advance the
// ruleset's generation, which [known] relies on.
func (b *batch) createElements(keys []accounting.Key) {
	var name []byte
	for _, direction := range directions {
		chosen := ofDirection(keys, direction)
		for part := range slices.Chunk(chosen, elementsPerMessage) {
			b.changeElements(msgNewElement, unix.NLM_F_CREATE|unix.NLM_F_EXCL, portMap(direction), func() {
				for _, key := range part {
					id := newElementKey(key)
					name = append(key.AppendText(name[:0]), 0)
					b.element(id[:], name)
				}
			})
		}
	}
}

// createForwardElements appends elements of the maps of targets and of the sets of
// addresses. There are few, so each has a message of its own.
func (b *batch) createForwardElements(elements []forwardElement) {
	for _, f := range elements {
		var name []byte
		if f.home.kind != hostAddresses {
			name = append(f.counter().AppendText(nil), 0)
		}
		b.changeElements(msgNewElement, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f.home, func() { b.element(f.key(), name) })
	}
}

// changeElements appends a message about elements of the map, which add appends.
func (b *batch) changeElements(typ, flags uint16, m tableSet, add func()) {
	b.change(typ, flags)
	b.str(unix.NFTA_SET_ELEM_LIST_SET, m.name)
	list := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	add()
	b.endNest(list)
	b.end()
}

// element appends an element that leads to the counter with a name, which ends in
// a zero byte. An element of a set leads to nothing.
func (b *batch) element(key, name []byte) {
	nest := b.nest(unix.NFTA_LIST_ELEM)
	b.encodeKey(key)
	if name != nil {
		b.bytes(unix.NFTA_SET_ELEM_OBJREF, name)
	}
	b.endNest(nest)
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

func (b *batch) encodeKey(key []byte) {
	nest := b.nest(unix.NFTA_SET_ELEM_KEY)
	b.bytes(unix.NFTA_DATA_VALUE, key)
	b.endNest(nest)
}

// deleteElement appends the removal of one element in a message of its own, so
// that a refusal shows which one it is about. The element `*` has no key and is
// addressed by its flag.
func (b *batch) deleteElement(m tableSet, key []byte, catchall bool) {
	b.changeElements(msgDelElement, 0, m, func() {
		element := b.nest(unix.NFTA_LIST_ELEM)
		if catchall {
			b.be32(unix.NFTA_SET_ELEM_FLAGS, elemFlagCatchall)
		} else {
			b.encodeKey(key)
		}
		b.endNest(element)
	})
}

func (b *batch) createChain(c chain) {
	b.change(msgNewChain, unix.NLM_F_CREATE)
	b.str(unix.NFTA_CHAIN_NAME, c.name)
	nest := b.nest(unix.NFTA_CHAIN_HOOK)
	b.be32(unix.NFTA_HOOK_HOOKNUM, c.hook)
	b.be32(unix.NFTA_HOOK_PRIORITY, uint32(c.priority))
	b.endNest(nest)
	b.be32(unix.NFTA_CHAIN_POLICY, verdictAccept)
	b.str(unix.NFTA_CHAIN_TYPE, "filter")
	b.end()
}

// createRules appends the rules of a chain to those that it has.
func (b *batch) createRules(c chain) {
	for _, r := range c.rules {
		b.change(msgNewRule, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
		b.str(unix.NFTA_RULE_CHAIN, c.name)
		b.bytes(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, r.expressions())
		b.end()
	}
}
