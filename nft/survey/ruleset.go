package survey

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ssmonitor/nft"
)

// tableID names a table.
type tableID struct {
	family nftables.TableFamily
	name   string
}

// chain is a chain of a table with its rules.
type chain struct {
	*nftables.Chain
	table tableID
	place Place
	rules []rule
}

// rule is a rule as the kernel lists it: the expressions it consists of, as
// pointers to the library's types, or types of this package.
type rule struct {
	handle      uint64
	expressions []any
}

// ruleset is all tables that packets to a port pass through, as they were at one
// generation.
type ruleset struct {
	conn   *netlink.Conn
	chains []*chain // in the order in which they were added
	byName map[tableID]map[string]*chain
	sets   map[tableID]map[string]*set
	unread []error

	maxSteps int // see the constant
}

// familyNames holds the families that packets to a port pass through.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip",
	nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyINet: "inet",

	nftables.TableFamilyNetdev: "netdev",
}

// readRuleset reads every chain, rule and set. The elements of sets are read when
// they are needed.
func readRuleset(conn *netlink.Conn, lister *nftables.Conn) (*ruleset, error) {
	r := &ruleset{conn: conn, maxSteps: maxSteps, byName: make(map[tableID]map[string]*chain), sets: make(map[tableID]map[string]*set)}
	if err := r.readChains(lister); err != nil {
		return nil, fmt.Errorf("listing the chains of all tables: %w", err)
	}
	if err := r.readRules(); err != nil {
		return nil, fmt.Errorf("listing the rules of all tables: %w", err)
	}
	if err := r.readSets(); err != nil {
		return nil, fmt.Errorf("listing the sets of all tables: %w", err)
	}
	return r, nil
}

// readChains reads the chains of the tables that are in force.
func (r *ruleset) readChains(lister *nftables.Conn) error {
	tables, err := lister.ListTables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		if familyNames[t.Family] != "" && t.Flags&nftables.TableFlagDormant == 0 {
			r.byName[tableID{t.Family, t.Name}] = make(map[string]*chain)
		}
	}
	chains, err := lister.ListChains()
	if err != nil {
		return err
	}
	for _, c := range chains {
		table := tableID{c.Table.Family, c.Table.Name}
		if r.byName[table] == nil {
			continue
		}
		found := &chain{Chain: c, table: table, place: Place{familyNames[table.family], table.name, c.Name}}
		r.chains = append(r.chains, found)
		r.byName[table][c.Name] = found
	}
	return nil
}

func (r *ruleset) readRules() error {
	return r.dump(unix.NFT_MSG_GETRULE, unix.NFPROTO_UNSPEC, nil, r.addRule)
}

// addRule adds the rule of a message to its chain, as far as it can be read.
func (r *ruleset) addRule(payload []byte) {
	table, name, decoded, err := decodeRule(payload)
	family, _ := header(payload)
	found := r.byName[tableID{nftables.TableFamily(family), table}][name]
	if found == nil {
		return
	}
	if err != nil {
		r.unread = append(r.unread, fmt.Errorf("chain %s, rule %d: %w", found.place, decoded.handle, err))
	}
	found.rules = append(found.rules, decoded)
}

func (r *ruleset) readSets() error {
	return r.dump(unix.NFT_MSG_GETSET, unix.NFPROTO_UNSPEC, nil, func(payload []byte) {
		name, decoded, err := decodeSet(payload)
		family, _ := header(payload)
		table := tableID{nftables.TableFamily(family), name}
		if err != nil || r.byName[table] == nil {
			return // a look-up in the set finds that it is missing
		}
		if r.sets[table] == nil {
			r.sets[table] = make(map[string]*set)
		}
		r.sets[table][decoded.name] = &decoded
	})
}

// set returns a set with its elements, or an error that names it.
func (r *ruleset) set(table tableID, name string) (*set, error) {
	s := r.sets[table][name]
	if s == nil {
		s = &set{name: name}
		if r.sets[table] == nil {
			r.sets[table] = make(map[string]*set)
		}
		r.sets[table][name] = s
	}
	if !s.isRead {
		s.isRead = true
		s.entries, s.err = r.entries(table, s)
		if s.err != nil {
			s.err = fmt.Errorf("set %s of table %s %s: %w", name, familyNames[table.family], table.name, s.err)
			r.unread = append(r.unread, s.err)
		}
	}
	return s, s.err
}

func (r *ruleset) entries(table tableID, s *set) ([]entry, error) {
	ids := []netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: append([]byte(table.name), 0)},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: append([]byte(s.name), 0)},
	}
	var all []element
	var broken error
	err := r.dump(unix.NFT_MSG_GETSETELEM, byte(table.family), ids, func(payload []byte) {
		elements, err := decodeElements(payload)
		all, broken = append(all, elements...), errors.Join(broken, err)
	})
	return entriesOf(all, s.intervals), errors.Join(err, broken)
}

// dump requests a list and calls visit with the payload of each message.
func (r *ruleset) dump(messageType int, family byte, attributes []netlink.Attribute, visit func(payload []byte)) error {
	messages, err := request(r.conn, messageType, family, netlink.Dump, attributes)
	if err != nil {
		return err
	}
	for _, message := range messages {
		visit(message.Data)
	}
	return nil
}

// request sends a request of nf_tables and returns the answers.
func request(conn *netlink.Conn, messageType int, family byte, flags netlink.HeaderFlags, attributes []netlink.Attribute) ([]netlink.Message, error) {
	data, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return nil, err
	}
	return conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | messageType), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, data...), // struct nfgenmsg
	})
}

func isOwnTable(table tableID) bool {
	return table.family == nftables.TableFamilyINet && table.name == nft.TableName
}

// verdicts returns the verdicts that a rule may end with.
func (r *ruleset) verdicts(c *chain, of rule) (verdicts []*expr.Verdict) {
	for _, expression := range of.expressions {
		switch e := expression.(type) {
		case *expr.Verdict:
			verdicts = append(verdicts, e)
		case *expr.Lookup:
			if !setsVerdict(e) {
				continue
			}
			s, _ := r.set(c.table, e.SetName) // with the entries that could be read
			for i := range s.entries {
				if v := s.entries[i].verdict; v != nil {
					verdicts = append(verdicts, v)
				}
			}
		}
	}
	return verdicts
}

// setsVerdict reports whether a lookup is in a verdict map.
func setsVerdict(e *expr.Lookup) bool {
	return e.IsDestRegSet && e.DestRegister == unix.NFT_REG_VERDICT
}

// reachable returns a chain and those that it leads to.
func (r *ruleset) reachable(from *chain) (chains []*chain) {
	seen := map[*chain]bool{from: true}
	chains = []*chain{from}
	for i := 0; i < len(chains); i++ {
		for _, rule := range chains[i].rules {
			for _, v := range r.verdicts(chains[i], rule) {
				if next := r.byName[from.table][v.Chain]; next != nil && !seen[next] {
					seen[next] = true
					chains = append(chains, next)
				}
			}
		}
	}
	return chains
}
