package nft

import (
	"errors"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// tableInfo is what the kernel says of the table itself.
type tableInfo struct {
	handle uint64 // never given twice in a network namespace
	flags  uint32
	owner  uint32 // netlink port id, where flags has tableFlagOwner
	marked bool
	epoch  accounting.Epoch
}

// chainInfo is a chain of the table; base is false for one without a hook.
type chainInfo struct {
	name     string
	kind     string
	hook     uint32
	priority int32
	policy   uint32
	base     bool
	rules    [][]byte // NFTA_RULE_EXPRESSIONS of each
}

// setInfo is a set or map of the table.
type setInfo struct {
	name                                        string
	flags, keyType, keyLength, objectType, size uint32
}

// wrongElement is an element of one of our maps that leads elsewhere than its
// key says, or has a key that is none of ours.
type wrongElement struct {
	direction accounting.Direction
	key       []byte
	target    string
}

// inspection is the table as it was found.
type inspection struct {
	generation uint16
	table      *tableInfo // nil: there is none
	chains     []chainInfo
	sets       []setInfo
	counters   map[accounting.Key]bool
	attached   map[accounting.Key]bool // counters that their map's element leads to
	wrong      []wrongElement
}

// request encodes one message that asks for something of the table.
func request(kind, flags uint16, attributes func(*encoder)) []byte {
	e := &encoder{}
	e.begin(kind, flags, familyInet, 0)
	if attributes != nil {
		attributes(e)
	}
	e.end()
	return e.buffer
}

// getTable returns what the kernel says of the table and the generation, or nil
// where there is no such table.
func (c *conn) getTable() (info *tableInfo, generation uint16, err error) {
	ask := request(getTable, 0, func(e *encoder) { e.text(unix.NFTA_TABLE_NAME, TableName) })
	err = c.get(ask, 1, func(m message) error {
		info, generation = decodeTable(m.payload()), m.generation()
		return nil
	}, func(_ uint32, number unix.Errno) error {
		if number == unix.ENOENT {
			return nil
		}
		return number
	})
	return info, generation, readError("looking for table inet "+TableName, err)
}

func decodeTable(payload []byte) *tableInfo {
	info := &tableInfo{}
	a := attributes{rest: payload}
	for a.next() {
		switch a.kind {
		case unix.NFTA_TABLE_FLAGS:
			info.flags = uint32Value(a.value)
		case tableAttributeHandle:
			info.handle = uint64Value(a.value)
		case tableAttributeOwner:
			info.owner = uint32Value(a.value)
		case tableAttributeUserdata:
			info.marked = textValue(findUserdata(a.value, byte(userdata.TypeComment))) == Mark
			copy(info.epoch[:], findUserdata(a.value, epochType))
		}
	}
	return info
}

// inspect takes stock of the table.
func (c *conn) inspect() (*inspection, error) {
	found := &inspection{
		counters: make(map[accounting.Key]bool),
		attached: make(map[accounting.Key]bool),
	}
	var err error
	if found.table, found.generation, err = c.getTable(); err != nil || found.table == nil {
		return found, err
	}
	if !found.table.marked {
		return found, ErrForeignTable
	}
	steps := []func(*inspection) error{c.inspectCounters, c.inspectSets, c.inspectElements, c.inspectChains, c.inspectRules}
	for _, step := range steps {
		if err := step(found); err != nil {
			return found, err
		}
	}
	return found, nil
}

// list hands what a dump lists to visit. Whether the kernel flags the dump says
// too little to act upon: see Read.
func (c *conn) list(op string, ask []byte, visit func([]byte)) error {
	_, err := c.dump(ask, func(m message) error {
		visit(m.payload())
		return nil
	})
	if errors.Is(err, unix.ENOENT) { // what was asked of went away meanwhile
		return nil
	}
	return readError(op, err)
}

func (c *conn) inspectCounters(found *inspection) error {
	return c.list("listing the counters", counterRequest(), func(payload []byte) {
		if reading, ok := decodeCounter(payload); ok {
			found.counters[reading.Key] = true
		}
	})
}

func (c *conn) inspectSets(found *inspection) error {
	ask := request(getSet, unix.NLM_F_DUMP, func(e *encoder) { e.text(unix.NFTA_SET_TABLE, TableName) })
	return c.list("listing the maps", ask, func(payload []byte) {
		if textValue(find(payload, unix.NFTA_SET_TABLE)) != TableName {
			return
		}
		found.sets = append(found.sets, setInfo{
			name:       textValue(find(payload, unix.NFTA_SET_NAME)),
			flags:      uint32Value(find(payload, unix.NFTA_SET_FLAGS)),
			keyType:    uint32Value(find(payload, unix.NFTA_SET_KEY_TYPE)),
			keyLength:  uint32Value(find(payload, unix.NFTA_SET_KEY_LEN)),
			objectType: uint32Value(find(payload, unix.NFTA_SET_OBJ_TYPE)),
			size:       uint32Value(find(find(payload, unix.NFTA_SET_DESC), unix.NFTA_SET_DESC_SIZE)),
		})
	})
}

func (c *conn) inspectElements(found *inspection) error {
	for _, direction := range directions {
		if !found.hasMap(direction) {
			continue
		}
		ask := request(getElement, unix.NLM_F_DUMP, func(e *encoder) {
			e.text(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
			e.text(unix.NFTA_SET_ELEM_LIST_SET, mapName(direction))
		})
		err := c.list("listing map "+mapName(direction), ask, func(payload []byte) {
			elements := attributes{rest: find(payload, unix.NFTA_SET_ELEM_LIST_ELEMENTS)}
			for elements.next() {
				found.element(direction, elements.value)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (found *inspection) element(direction accounting.Direction, payload []byte) {
	value := find(find(payload, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
	target := trimZero(find(payload, unix.NFTA_SET_ELEM_OBJREF))
	key, known := parseElementKey(value, direction)
	if leads, ok := parseCounterName(target); known && ok && leads == key {
		found.attached[key] = true
		return
	}
	found.wrong = append(found.wrong, wrongElement{direction, append([]byte(nil), value...), string(target)})
}

func (c *conn) inspectChains(found *inspection) error {
	ask := request(getChain, unix.NLM_F_DUMP, func(e *encoder) { e.text(unix.NFTA_CHAIN_TABLE, TableName) })
	return c.list("listing the chains", ask, func(payload []byte) {
		if textValue(find(payload, unix.NFTA_CHAIN_TABLE)) != TableName {
			return
		}
		hook := find(payload, unix.NFTA_CHAIN_HOOK)
		found.chains = append(found.chains, chainInfo{
			name:     textValue(find(payload, unix.NFTA_CHAIN_NAME)),
			kind:     textValue(find(payload, unix.NFTA_CHAIN_TYPE)),
			policy:   uint32Value(find(payload, unix.NFTA_CHAIN_POLICY)),
			hook:     uint32Value(find(hook, unix.NFTA_HOOK_HOOKNUM)),
			priority: int32(uint32Value(find(hook, unix.NFTA_HOOK_PRIORITY))),
			base:     hook != nil,
		})
	})
}

func (c *conn) inspectRules(found *inspection) error {
	for i := range found.chains {
		chain := &found.chains[i]
		ask := request(getRule, unix.NLM_F_DUMP, func(e *encoder) {
			e.text(unix.NFTA_RULE_TABLE, TableName)
			e.text(unix.NFTA_RULE_CHAIN, chain.name)
		})
		err := c.list("listing the rules of chain "+chain.name, ask, func(payload []byte) {
			if textValue(find(payload, unix.NFTA_RULE_CHAIN)) == chain.name {
				chain.rules = append(chain.rules, append([]byte(nil), find(payload, unix.NFTA_RULE_EXPRESSIONS)...))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (found *inspection) hasMap(direction accounting.Direction) bool {
	for _, set := range found.sets {
		if set.name == mapName(direction) {
			return set.isObjectMap()
		}
	}
	return false
}

func (s setInfo) isObjectMap() bool {
	return s.flags == unix.NFT_SET_OBJECT && s.objectType == unix.NFT_OBJECT_COUNTER &&
		s.keyType == mapKeyType && s.keyLength == uint32(len(elementKey{})) && s.size == 0
}
