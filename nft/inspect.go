package nft

import (
	"errors"
	"slices"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/netlink"
)

// tableInfo describes the table itself. The zero value stands for no table.
type tableInfo struct {
	handle        uint64 // from 1; never used twice in a network namespace
	flags         uint32
	use           uint32 // number of chains, named sets, objects and flowtables in it
	hasOurComment bool
	epoch         accounting.Epoch
}

func (t tableInfo) exists() bool { return t.handle != 0 }

// hasEpoch reports whether ssmonitor created the table and it was not loaded from a
// file.
func (t tableInfo) hasEpoch() bool { return t.epoch != accounting.Epoch{} }

// chainInfo is a chain of the table.
type chainInfo struct {
	name     string
	typ      string
	hook     uint32
	priority int32
	policy   uint32
	base     bool // it has a hook
	binding  bool // it belongs to a jump in a rule and is removed with it
	rules    [][]byte
}

// setInfo is a set or a map of the table.
type setInfo struct {
	name                                        string
	flags, keyType, keyLength, objectType, size uint32
}

// objectInfo is an object of the table that is not one of our counters.
type objectInfo struct {
	name string
	typ  uint32 // NFT_OBJECT_*
}

// wrongElement is an element of one of our maps that is not one of ours: its key
// is not a port, or it leads to a counter other than that of its key.
type wrongElement struct {
	home     tableSet
	key      []byte
	catchall bool // the element `*`, without a key
	counter  string
}

// inspection is the table as it was found.
type inspection struct {
	generation uint32 // of the ruleset when the inspection began
	table      tableInfo
	chains     []chainInfo
	sets       []setInfo
	flowtables []string
	objects    []objectInfo
	counters   accounting.KeyMap[bool]
	attached   accounting.KeyMap[bool] // keys whose element leads to their own counter
	forwarded  map[forwardElement]bool // in the maps of targets and the sets of the host's addresses
	wrong      []wrongElement
}

// tableLookup is the request and the result of getTable. It is prepared once,
// since every reading needs one and must not allocate.
type tableLookup struct {
	request    []byte
	visit      func(netlink.Message) error
	generation uint32
	table      tableInfo
}

func (l *tableLookup) prepare() {
	e := &encoder{}
	e.begin(msgGetGeneration, 0, familyAny, 0)
	e.end()
	e.begin(msgGetTable, 0, familyInet, 0)
	e.str(unix.NFTA_TABLE_NAME, TableName)
	e.end()
	l.request, l.visit = e.buffer, l.add
}

func (l *tableLookup) add(m netlink.Message) error {
	if m.Type() == msgNewGeneration {
		l.generation = uint32Value(find(payload(m), attrGenID))
	} else {
		l.table = decodeTable(payload(m))
	}
	return nil
}

// getTable reads the generation of the ruleset first and the table second. It
// returns the zero tableInfo if the table does not exist.
func (c *conn) getTable() (generation uint32, table tableInfo, err error) {
	l := &c.lookup
	l.table = tableInfo{}
	if err := c.get(l.request, l.visit); err != nil {
		return 0, tableInfo{}, readError("looking for table inet "+TableName, err)
	}
	return l.generation, l.table, nil
}

func decodeTable(payload []byte) (info tableInfo) {
	for typ, value := range netlink.Attributes(payload) {
		switch typ {
		case unix.NFTA_TABLE_FLAGS:
			info.flags = uint32Value(value)
		case unix.NFTA_TABLE_USE:
			info.use = uint32Value(value)
		case attrTableHandle:
			info.handle = uint64Value(value)
		case attrTableUserdata:
			info.hasOurComment = string(trimZero(findUserdata(value, byte(userdata.TypeComment)))) == tableComment
			copy(info.epoch[:], findUserdata(value, udataEpoch))
		}
	}
	return info
}

// look looks the table up.
func (t *Table) look() error {
	generation, table, err := t.conn.getTable()
	if err == nil {
		t.known.lookedUp(generation, table)
	}
	return err
}

// inspect lists everything in the table. It fails with ErrForeignTable if the
// table does not have our comment.
func (t *Table) inspect() (*inspection, error) {
	k, found := &t.known, &inspection{}
	if err := t.look(); err != nil {
		return nil, err
	}
	if k.table.hasOurComment && !k.listed && int(k.table.use) > t.reader.guessLimit {
		// To list the objects would take many times as long as to read the counters.
		if err := t.Read(new(accounting.Sample)); err != nil && !errors.Is(err, accounting.ErrRestored) {
			return nil, err
		}
	}
	k.inspecting()
	found.generation, found.table = k.generation, k.table
	switch {
	case !found.table.exists():
		return found, nil
	case !found.table.hasOurComment:
		return nil, ErrForeignTable
	}
	err := t.conn.inspectSets(found, allSets[:])
	for _, step := range []func(*inspection) error{t.conn.inspectChains, t.conn.inspectRules, t.conn.inspectFlowtables} {
		if err == nil {
			err = step(found)
		}
	}
	if err != nil {
		return nil, err
	}
	if !t.listedAllOf(found) {
		return found, t.conn.inspectObjects(found)
	}
	for _, key := range k.counters.keys {
		if key != (accounting.Key{}) {
			*found.counters.At(key) = true
		}
	}
	return found, nil
}

// listedAllOf reports whether the counters need not be listed again: nothing has
// changed since they were read, and the table's use shows that it holds nothing besides
// them and what the inspection has found.
func (t *Table) listedAllOf(found *inspection) bool {
	others := len(found.chains) + len(found.flowtables)
	for _, set := range found.sets {
		if !set.isAnonymous() { // the kernel does not count those in the table's use
			others++
		}
	}
	return t.known.listed && int(found.table.use) == t.known.counters.len()+others
}

// listOfTable lists what the table has of one type. Older kernels do not select
// everything by the table's name.
func (c *conn) listOfTable(op string, typ uint16, visit func([]byte)) error {
	req := request(typ, unix.NLM_F_DUMP, func(e *encoder) { e.str(attrTable, TableName) })
	return c.list(op, req, func(payload []byte) {
		if str(find(payload, attrTable)) == TableName {
			visit(payload)
		}
	})
}

// list passes the payloads of a dump to visit. If the object to be listed does
// not exist, the list is empty, without an error.
func (c *conn) list(op string, req []byte, visit func([]byte)) error {
	err := c.dump(req, func(m netlink.Message) error {
		c.progress()
		visit(payload(m))
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return readError(op, err)
}

func (c *conn) inspectObjects(found *inspection) error {
	return c.listOfTable("listing the counters", msgGetObject, func(payload []byte) {
		if reading, ok := decodeCounter(payload); ok {
			*found.counters.At(reading.Key) = true
			return
		}
		found.objects = append(found.objects, objectInfo{
			name: str(find(payload, unix.NFTA_OBJ_NAME)),
			typ:  uint32Value(find(payload, unix.NFTA_OBJ_TYPE)),
		})
	})
}

func (c *conn) inspectFlowtables(found *inspection) error {
	return c.listOfTable("listing the flowtables", msgGetFlowtable, func(payload []byte) {
		found.flowtables = append(found.flowtables, str(find(payload, attrFlowtableName)))
	})
}

// inspectSets lists the sets, and the elements of those of the maps that exist.
func (c *conn) inspectSets(found *inspection, maps []tableSet) error {
	err := c.listOfTable("listing the maps", msgGetSet, func(payload []byte) {
		found.sets = append(found.sets, setInfo{
			name:       str(find(payload, unix.NFTA_SET_NAME)),
			flags:      uint32Value(find(payload, unix.NFTA_SET_FLAGS)),
			keyType:    uint32Value(find(payload, unix.NFTA_SET_KEY_TYPE)),
			keyLength:  uint32Value(find(payload, unix.NFTA_SET_KEY_LEN)),
			objectType: uint32Value(find(payload, unix.NFTA_SET_OBJ_TYPE)),
			size:       uint32Value(find(find(payload, unix.NFTA_SET_DESC), unix.NFTA_SET_DESC_SIZE)),
		})
	})
	for _, m := range maps {
		if err != nil || !found.hasSet(m) {
			continue
		}
		err = c.list("listing map "+m.name, elementsRequest(m), func(payload []byte) {
			for _, element := range netlink.Attributes(find(payload, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				found.addElement(m, element)
			}
		})
	}
	return err
}

func elementsRequest(m tableSet) []byte {
	return request(msgGetElement, unix.NLM_F_DUMP, func(e *encoder) {
		e.str(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
		e.str(unix.NFTA_SET_ELEM_LIST_SET, m.name)
	})
}

func (found *inspection) addElement(m tableSet, payload []byte) {
	value := find(find(payload, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
	name := trimZero(find(payload, unix.NFTA_SET_ELEM_OBJREF))
	counter, leadsToOurs := parseCounterName(name)
	switch {
	case m.kind == portCounters:
		if key, ok := parseElementKey(value, m.direction); ok && leadsToOurs && key == counter {
			*found.attached.At(key) = true
			return
		}
	case leadsToOurs || m.kind == hostAddresses:
		if element, ok := parseForwardElement(m, value, counter); ok {
			if found.forwarded == nil {
				found.forwarded = make(map[forwardElement]bool)
			}
			found.forwarded[element] = true
			return
		}
	}
	found.wrong = append(found.wrong, wrongElement{
		home:     m,
		key:      append([]byte(nil), value...),
		catchall: uint32Value(find(payload, unix.NFTA_SET_ELEM_FLAGS))&elemFlagCatchall != 0,
		counter:  string(name),
	})
}

func (c *conn) inspectChains(found *inspection) error {
	return c.listOfTable("listing the chains", msgGetChain, func(payload []byte) {
		hook := find(payload, unix.NFTA_CHAIN_HOOK)
		found.chains = append(found.chains, chainInfo{
			name:     str(find(payload, unix.NFTA_CHAIN_NAME)),
			typ:      str(find(payload, unix.NFTA_CHAIN_TYPE)),
			policy:   uint32Value(find(payload, unix.NFTA_CHAIN_POLICY)),
			hook:     uint32Value(find(hook, unix.NFTA_HOOK_HOOKNUM)),
			priority: int32(uint32Value(find(hook, unix.NFTA_HOOK_PRIORITY))),
			base:     hook != nil,
			binding:  uint32Value(find(payload, attrChainFlags))&chainFlagBinding != 0,
		})
	})
}

func (c *conn) inspectRules(found *inspection) error {
	for i := range found.chains {
		chain := &found.chains[i]
		req := request(msgGetRule, unix.NLM_F_DUMP, func(e *encoder) {
			e.str(unix.NFTA_RULE_TABLE, TableName)
			e.str(unix.NFTA_RULE_CHAIN, chain.name)
		})
		err := c.list("listing the rules of chain "+chain.name, req, func(payload []byte) {
			if str(find(payload, unix.NFTA_RULE_CHAIN)) == chain.name {
				chain.rules = append(chain.rules, append([]byte(nil), find(payload, unix.NFTA_RULE_EXPRESSIONS)...))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (found *inspection) hasSets(maps []tableSet) bool {
	return !slices.ContainsFunc(maps, func(m tableSet) bool { return !found.hasSet(m) })
}

// hasSet reports whether the map exists and is of the right kind.
func (found *inspection) hasSet(m tableSet) bool { return slices.ContainsFunc(found.sets, m.matches) }

// matches reports whether the set is the map, and of the right kind.
func (m tableSet) matches(s setInfo) bool {
	flags, object := uint32(unix.NFT_SET_OBJECT), uint32(unix.NFT_OBJECT_COUNTER)
	if m.kind == hostAddresses {
		flags, object = 0, 0
	}
	return s.name == m.name && s.flags == flags && s.objectType == object &&
		s.keyType == m.keyType() && s.keyLength == uint32(m.keyLength()) && s.size == 0
}

// isAnonymous reports whether the set belongs to a rule and is removed with it.
func (s setInfo) isAnonymous() bool { return s.flags&unix.NFT_SET_ANONYMOUS != 0 }
