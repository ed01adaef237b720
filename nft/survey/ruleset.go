package survey

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

// tableID names a table.
type tableID struct {
	family nftables.TableFamily
	name   string
}

// objectID names a chain or a set.
type objectID struct {
	table tableID
	name  string
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
	conn    *netlink.Conn
	chains  []*chain // in the order in which they were added
	chainOf map[objectID]*chain
	sets    map[objectID]*set
	unread  []error

	maxSteps int // see the constant
}

// families and protocols are those of the packets that are followed.
var (
	families  = [...]byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6}
	protocols = [...]accounting.Protocol{accounting.TCP, accounting.UDP}
)

// familyNames holds the families that packets to a port pass through.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip",
	nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyINet: "inet",

	nftables.TableFamilyNetdev: "netdev",
}

// readRuleset reads every chain, rule and set. The elements of sets are read when
// they are needed.
func readRuleset(conn *netlink.Conn) (*ruleset, error) {
	r := &ruleset{conn: conn, maxSteps: maxSteps, chainOf: make(map[objectID]*chain), sets: make(map[objectID]*set)}
	if err := r.readChains(); err != nil {
		return nil, fmt.Errorf("listing the chains of all tables: %w", err)
	}
	if err := r.dump(unix.NFT_MSG_GETRULE, unix.NFPROTO_UNSPEC, nil, r.addRule); err != nil {
		return nil, fmt.Errorf("listing the rules of all tables: %w", err)
	}
	if err := r.dump(unix.NFT_MSG_GETSET, unix.NFPROTO_UNSPEC, nil, r.addSet); err != nil {
		return nil, fmt.Errorf("listing the sets of all tables: %w", err)
	}
	return r, nil
}

// readChains reads the chains of the tables that are in force.
func (r *ruleset) readChains() error {
	lister, err := nftables.New()
	if err != nil {
		return err
	}
	tables, err := lister.ListTables()
	if err != nil {
		return err
	}
	dormant := make(map[tableID]bool)
	for _, t := range tables {
		dormant[tableID{t.Family, t.Name}] = t.Flags&nftables.TableFlagDormant != 0
	}
	chains, err := lister.ListChains()
	if err != nil {
		return err
	}
	for _, c := range chains {
		table := tableID{c.Table.Family, c.Table.Name}
		if familyNames[table.family] == "" || dormant[table] {
			continue
		}
		found := &chain{Chain: c, table: table, place: Place{familyNames[table.family], table.name, c.Name}}
		r.chains = append(r.chains, found)
		r.chainOf[objectID{table, c.Name}] = found
	}
	return nil
}

// addRule adds the rule of a message to its chain, as far as it can be read.
func (r *ruleset) addRule(payload []byte) {
	chain, decoded, err := decodeRule(payload)
	found := r.chainOf[chain]
	if found == nil {
		return
	}
	if err != nil {
		r.unread = append(r.unread, fmt.Errorf("chain %s, rule %d: %w", found.place, decoded.handle, err))
	}
	found.rules = append(found.rules, decoded)
}

// addSet adds the set of a message. One that can't be decoded is left out; looking it up
// reports it.
func (r *ruleset) addSet(payload []byte) {
	if id, decoded, err := decodeSet(payload); err == nil {
		r.sets[id] = &decoded
	}
}

// set returns a set with its elements, or an error that names it.
func (r *ruleset) set(table tableID, name string) (*set, error) {
	id := objectID{table, name}
	s := r.sets[id]
	if s == nil {
		s = &set{name: name}
		r.sets[id] = s
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
	var all []entry
	var broken error
	err := r.dump(unix.NFT_MSG_GETSETELEM, byte(table.family), ids, func(payload []byte) {
		elements, err := decodeElements(payload)
		all, broken = append(all, elements...), errors.Join(broken, err)
	})
	return entriesOf(all, s.intervals), errors.Join(err, broken)
}

// dump requests a list and calls visit with the payload of each message.
func (r *ruleset) dump(messageType int, family byte, attributes []netlink.Attribute, visit func(payload []byte)) error {
	return request(r.conn, messageType, family, netlink.Dump, attributes, visit)
}

// request sends a request of nf_tables and calls visit with the payload of each answer.
func request(conn *netlink.Conn, messageType int, family byte, flags netlink.HeaderFlags, attributes []netlink.Attribute, visit func(payload []byte)) error {
	data, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return err
	}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | messageType), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, data...), // struct nfgenmsg
	})
	for _, answer := range answers {
		visit(answer.Data)
	}
	return err
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

// reachable returns base chains, each before the chains that it leads to.
func (r *ruleset) reachable(bases ...*chain) (chains []*chain) {
	seen := make(map[*chain]bool)
	add := func(c *chain) {
		if c != nil && !seen[c] {
			seen[c], chains = true, append(chains, c)
		}
	}
	next := 0
	for _, base := range bases {
		add(base)
		for ; next < len(chains); next++ {
			from := chains[next]
			for _, rule := range from.rules {
				for _, v := range r.verdicts(from, rule) {
					add(r.chainOf[objectID{from.table, v.Chain}])
				}
			}
		}
	}
	return chains
}
