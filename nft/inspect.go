package nft

import (
	"errors"
	"slices"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// tableInfo describes the table itself. The zero value stands for no table.
type tableInfo struct {
	handle uint64 // from 1; never used twice in a network namespace
	flags  uint32
	use    uint32 // number of chains, named sets, objects and flowtables in it
	marked bool
	epoch  accounting.Epoch
}

func (t tableInfo) exists() bool { return t.handle != 0 }

// ours reports whether ssmonitor created the table and it was not loaded from a
// file.
func (t tableInfo) ours() bool { return t.epoch != accounting.Epoch{} }

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
	home     counterMap
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
	forwarded  map[forwardElement]bool
	wrong      []wrongElement
}

// tableLookup is the request and the result of getTable. It is prepared once,
// since every reading needs one and must not allocate.
type tableLookup struct {
	request    []byte
	count      int // of the messages in request
	visit      func(message) error
	refused    func(unix.Errno) error
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
	l.request, l.count = e.buffer, e.count
	l.visit = func(m message) error {
		if m.typ() == msgNewGeneration {
			l.generation = uint32Value(find(m.payload(), attrGenID))
		} else {
			l.table = decodeTable(m.payload())
		}
		return nil
	}
	l.refused = ignoreMissing
}

// ignoreMissing accepts the refusal of a request for what does not exist.
func ignoreMissing(errno unix.Errno) error {
	if errno == unix.ENOENT {
		return nil
	}
	return errno
}

// getTable reads the generation of the ruleset first and the table second. It
// returns the zero tableInfo if the table does not exist.
func (c *conn) getTable() (generation uint32, table tableInfo, err error) {
	l := &c.lookup
	l.table = tableInfo{}
	if err := c.get(l.request, l.count, l.visit, l.refused); err != nil {
		return 0, tableInfo{}, readError("looking for table inet "+TableName, err)
	}
	return l.generation, l.table, nil
}

func decodeTable(payload []byte) (info tableInfo) {
	a := attributes{rest: payload}
	for a.next() {
		switch a.typ {
		case unix.NFTA_TABLE_FLAGS:
			info.flags = uint32Value(a.value)
		case unix.NFTA_TABLE_USE:
			info.use = uint32Value(a.value)
		case attrTableHandle:
			info.handle = uint64Value(a.value)
		case attrTableUserdata:
			info.marked = string(trimZero(findUserdata(a.value, byte(userdata.TypeComment)))) == Mark
			copy(info.epoch[:], findUserdata(a.value, udataEpoch))
		}
	}
	return info
}

// inspect lists everything in the table. It fails with ErrForeignTable if the
// table is not ours.
//
// The counters are not listed again if nothing has changed since they were read:
// the table's use then shows that it holds nothing besides them and what is
// listed here.
func (t *Table) inspect() (*inspection, error) {
	found, c := &inspection{}, t.conn
	var err error
	if found.generation, found.table, err = c.getTable(); err != nil || !found.table.exists() {
		return found, err
	}
	if !found.table.marked {
		return found, ErrForeignTable
	}
	steps := []func(*inspection) error{
		c.inspectSets, c.inspectAllElements, c.inspectChains, c.inspectRules, c.inspectFlowtables, t.inspectCounters,
	}
	for _, step := range steps {
		if err := step(found); err != nil {
			return found, err
		}
	}
	return found, nil
}

// inspectCounters takes the counters from the last reading if it can, and lists
// all objects of the table otherwise. The table is compared with the one that was
// read, since a transaction that the kernel has not finished changes the use too.
func (t *Table) inspectCounters(found *inspection) error {
	r := t.reader
	if !r.hasReadAllOf(found) && int(found.table.use) > r.guessLimit {
		// To list the objects would take many times as long as to read the counters.
		if err := r.read(new(accounting.Sample)); err != nil && !errors.Is(err, accounting.ErrRestored) {
			return err
		}
	}
	if !r.hasReadAllOf(found) {
		return t.conn.inspectObjects(found)
	}
	for _, key := range r.expected {
		if key != (accounting.Key{}) {
			*found.counters.At(key) = true
		}
	}
	return nil
}

// hasReadAllOf reports whether the last reading was of the table that is inspected,
// and found everything in it that the inspection has not found.
func (r *reader) hasReadAllOf(found *inspection) bool {
	others := len(found.chains) + len(found.flowtables)
	for _, set := range found.sets {
		if !set.isAnonymous() { // the kernel does not count those in the table's use
			others++
		}
	}
	return r.settled && r.generation == found.generation && r.table == found.table && int(r.table.use) == r.known()+others
}

// list passes the payloads of a dump to visit. If the object to be listed does
// not exist, the list is empty, without an error.
func (c *conn) list(op string, req []byte, visit func([]byte)) error {
	err := c.dump(req, func(m message) error {
		visit(m.payload())
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return readError(op, err)
}

func (c *conn) inspectObjects(found *inspection) error {
	req := request(msgGetObject, unix.NLM_F_DUMP, func(e *encoder) { e.str(unix.NFTA_OBJ_TABLE, TableName) })
	return c.list("listing the counters", req, func(payload []byte) {
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
	req := request(msgGetFlowtable, unix.NLM_F_DUMP, func(e *encoder) { e.str(attrFlowtableTable, TableName) })
	return c.list("listing the flowtables", req, func(payload []byte) {
		if str(find(payload, attrFlowtableTable)) == TableName {
			found.flowtables = append(found.flowtables, str(find(payload, attrFlowtableName)))
		}
	})
}

func (c *conn) inspectSets(found *inspection) error {
	req := request(msgGetSet, unix.NLM_F_DUMP, func(e *encoder) { e.str(unix.NFTA_SET_TABLE, TableName) })
	return c.list("listing the maps", req, func(payload []byte) {
		if str(find(payload, unix.NFTA_SET_TABLE)) != TableName {
			return
		}
		found.sets = append(found.sets, setInfo{
			name:       str(find(payload, unix.NFTA_SET_NAME)),
			flags:      uint32Value(find(payload, unix.NFTA_SET_FLAGS)),
			keyType:    uint32Value(find(payload, unix.NFTA_SET_KEY_TYPE)),
			keyLength:  uint32Value(find(payload, unix.NFTA_SET_KEY_LEN)),
			objectType: uint32Value(find(payload, unix.NFTA_SET_OBJ_TYPE)),
			size:       uint32Value(find(find(payload, unix.NFTA_SET_DESC), unix.NFTA_SET_DESC_SIZE)),
		})
	})
}

func (c *conn) inspectAllElements(found *inspection) error {
	return c.inspectElements(found, hookPublished.maps())
}

// inspectElements lists the elements of those of the maps that exist.
func (c *conn) inspectElements(found *inspection, maps []counterMap) error {
	for _, m := range maps {
		if !found.hasMap(m) {
			continue
		}
		err := c.list("listing map "+m.name, elementsRequest(m), func(payload []byte) {
			elements := attributes{rest: find(payload, unix.NFTA_SET_ELEM_LIST_ELEMENTS)}
			for elements.next() {
				found.addElement(m, elements.value)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func elementsRequest(m counterMap) []byte {
	return request(msgGetElement, unix.NLM_F_DUMP, func(e *encoder) {
		e.str(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
		e.str(unix.NFTA_SET_ELEM_LIST_SET, m.name)
	})
}

func (found *inspection) addElement(m counterMap, payload []byte) {
	value := find(find(payload, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
	name := trimZero(find(payload, unix.NFTA_SET_ELEM_OBJREF))
	if counter, ok := parseCounterName(name); ok && found.addRightElement(m, value, counter) {
		return
	}
	found.wrong = append(found.wrong, wrongElement{
		home:     m,
		key:      append([]byte(nil), value...),
		catchall: uint32Value(find(payload, unix.NFTA_SET_ELEM_FLAGS))&elemFlagCatchall != 0,
		counter:  string(name),
	})
}

// addRightElement reports whether an element that leads to the counter is one of
// ours, and records it.
func (found *inspection) addRightElement(m counterMap, value []byte, counter accounting.Key) bool {
	if m.family == unix.NFPROTO_UNSPEC {
		key, known := parseElementKey(value, m.direction)
		if known && key == counter {
			*found.attached.At(key) = true
		}
		return known && key == counter
	}
	element, known := parseForwardElement(m, value, counter)
	if known {
		if found.forwarded == nil {
			found.forwarded = make(map[forwardElement]bool)
		}
		found.forwarded[element] = true
	}
	return known
}

func (c *conn) inspectChains(found *inspection) error {
	req := request(msgGetChain, unix.NLM_F_DUMP, func(e *encoder) { e.str(unix.NFTA_CHAIN_TABLE, TableName) })
	return c.list("listing the chains", req, func(payload []byte) {
		if str(find(payload, unix.NFTA_CHAIN_TABLE)) != TableName {
			return
		}
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

// hasMap reports whether the map exists and is of the right kind.
func (found *inspection) hasMap(m counterMap) bool { return slices.ContainsFunc(found.sets, m.matches) }

// matches reports whether the set is the map, and of the right kind.
func (m counterMap) matches(s setInfo) bool {
	return s.name == m.name && s.flags == unix.NFT_SET_OBJECT && s.objectType == unix.NFT_OBJECT_COUNTER &&
		s.keyType == m.keyType() && s.keyLength == uint32(m.keyLength()) && s.size == 0
}

// isAnonymous reports whether the set belongs to a rule and is removed with it.
func (s setInfo) isAnonymous() bool { return s.flags&unix.NFT_SET_ANONYMOUS != 0 }
