// Package survey reads other people's rules: what the rest of the firewall does
// to the packets that ssmonitor counts. It changes nothing, and has a netlink
// connection of its own.
//
// A rule is understood as far as it concerns ports. A set or map in it is read
// where its keys are ports or protocols; verdict maps are ignored.
package survey

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

// Survey is what the tables of others do to packets that ssmonitor counts.
type Survey struct {
	DNATs           []DNAT         // rules that change the destination of incoming packets
	Offloads        []Offload      // rules that move connections to a flowtable, past every hook
	CountingRules   []CountingRule // rules that count a port and do nothing else
	LaterDropChains []Place        // base chains that may drop packets after they were counted
	Unread          []error        // one per chain or rule that could not be read
}

// Place is where a rule stands.
type Place struct {
	Family, Table string
	Chain         string // empty: the whole table
}

// String returns the place as nft writes it, such as ip nat DOCKER.
func (p Place) String() string {
	if p.Chain == "" {
		return p.Family + " " + p.Table
	}
	return p.Family + " " + p.Table + " " + p.Chain
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// DNAT is a rule that gives packets to some ports another destination.
type DNAT struct {
	Place     Place
	Protocols accounting.Protocols
	Ports     []PortRange // before the translation
	Address   netip.Addr  // the new one; the zero Addr: this host, or Mapped
	Mapped    bool        // the new address comes from a map
	Port      uint16      // the new one; 0: unchanged, or from a map
}

// Covers reports whether the rule matches packets to the port.
func (d DNAT) Covers(port accounting.Port) bool {
	return d.Protocols&port.Protocols != 0 && slices.ContainsFunc(d.Ports, func(r PortRange) bool {
		return r.First <= port.Number && port.Number <= r.Last
	})
}

// Forwards reports whether the host with these addresses forwards the packets that
// the rule matches, because their new destination is another host or a container.
func (d DNAT) Forwards(hostAddresses []netip.Addr) bool {
	return d.Mapped || d.Address.IsValid() && !d.Address.IsLoopback() && !slices.Contains(hostAddresses, d.Address)
}

// Offload is a rule that adds connections to a flowtable.
type Offload struct {
	Place     Place
	Flowtable string
}

// CountingRule is a rule that counts the packets of one port and does nothing
// else with them.
type CountingRule struct {
	Place Place
	Key   accounting.Key // In: a destination port, Out: a source port
}

// familyNames holds the families that packets to a port pass through.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip",
	nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyINet: "inet",
}

// Read surveys every table but ssmonitor's own. It takes one dump per chain and
// one per set in a rule, so it is meant for a single look. It needs
// CAP_NET_ADMIN; the error is fs.ErrPermission without it.
func Read() (survey *Survey, err error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("opening the netlink socket: %w", err)
	}
	defer func() { err = errors.Join(err, conn.CloseLasting()) }()
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("listing the chains of all tables: %w", err)
	}
	s := &surveyor{conn: conn, dropping: make(map[Place]bool)}
	for _, c := range chains {
		switch {
		case isOwnTable(c.Table):
			s.own = append(s.own, c)
		case familyNames[c.Table.Family] != "":
			s.chain(c)
		}
	}
	for _, c := range chains {
		if s.dropsLater(c) {
			s.found.LaterDropChains = append(s.found.LaterDropChains, placeOf(c))
		}
	}
	return &s.found, nil
}

// Generation returns the generation of the ruleset, which every change by anybody
// advances.
func Generation() (uint32, error) {
	conn, err := nftables.New()
	if err != nil {
		return 0, fmt.Errorf("opening the netlink socket: %w", err)
	}
	generation, err := conn.GetGen()
	if err != nil {
		return 0, fmt.Errorf("looking up the generation of the ruleset: %w", err)
	}
	return generation.ID, nil
}

func isOwnTable(table *nftables.Table) bool {
	return table.Family == nftables.TableFamilyINet && table.Name == nft.TableName
}

func placeOf(c *nftables.Chain) Place {
	return Place{Family: familyNames[c.Table.Family], Table: c.Table.Name, Chain: c.Name}
}

// tableOf returns the chain's table as a place. It stands for the chains without
// a hook: any chain of the table may jump to them.
func tableOf(c *nftables.Chain) Place {
	return Place{Family: familyNames[c.Table.Family], Table: c.Table.Name}
}

// surveyor collects what it finds in one chain after another.
type surveyor struct {
	conn     *nftables.Conn
	own      []*nftables.Chain // ssmonitor's
	found    Survey
	dropping map[Place]bool // base chains with a rule that drops; tables with one elsewhere
}

func (s *surveyor) chain(c *nftables.Chain) {
	rules, err := s.conn.GetRules(c.Table, c)
	if errors.Is(err, unix.ENOENT) { // deleted since it was listed
		return
	}
	if err != nil {
		s.found.Unread = append(s.found.Unread, fmt.Errorf("chain %s: %w", placeOf(c), err))
		return
	}
	for _, rule := range rules {
		r, err := readRule(rule.Exprs, s.setsOf(c.Table))
		if err != nil {
			s.found.Unread = append(s.found.Unread, fmt.Errorf("chain %s, rule %d: %w", placeOf(c), rule.Handle, err))
			continue
		}
		s.rule(c, r)
	}
}

func (s *surveyor) rule(c *nftables.Chain, r *ruleReader) {
	place := placeOf(c)
	if r.dnat != nil && len(r.destination) > 0 && !isAt(c, nftables.ChainHookOutput) {
		dnat := *r.dnat
		dnat.Place, dnat.Protocols, dnat.Ports = place, r.protocols, r.destination
		s.found.DNATs = append(s.found.DNATs, dnat)
	}
	if r.flowtable != "" {
		s.found.Offloads = append(s.found.Offloads, Offload{place, r.flowtable})
	}
	if key, ok := r.countedKey(c); ok {
		s.found.CountingRules = append(s.found.CountingRules, CountingRule{place, key})
	}
	switch {
	case r.drops && c.Hooknum != nil:
		s.dropping[place] = true
	case r.drops:
		s.dropping[tableOf(c)] = true
	}
}

// dropsLater reports whether a chain gets packets after one of ssmonitor's own
// at the same hook and may drop them. The order of chains with one priority
// depends on when they were added, so it counts as later.
func (s *surveyor) dropsLater(c *nftables.Chain) bool {
	if c.Hooknum == nil || c.Priority == nil || c.Type != nftables.ChainTypeFilter || isOwnTable(c.Table) || familyNames[c.Table.Family] == "" {
		return false
	}
	later := slices.ContainsFunc(s.own, func(own *nftables.Chain) bool {
		return own.Hooknum != nil && own.Priority != nil && *c.Hooknum == *own.Hooknum && *c.Priority >= *own.Priority
	})
	drops := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
	return later && (drops || s.dropping[placeOf(c)] || s.dropping[tableOf(c)])
}

func isAt(c *nftables.Chain, hook *nftables.ChainHook) bool {
	return c.Hooknum != nil && *c.Hooknum == *hook
}

// setElements returns the elements of the set with a name.
type setElements func(name string) ([]nftables.SetElement, error)

func (s *surveyor) setsOf(table *nftables.Table) setElements {
	return func(name string) ([]nftables.SetElement, error) {
		elements, err := s.conn.GetSetElements(&nftables.Set{Table: table, Name: name})
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
		return elements, nil
	}
}
