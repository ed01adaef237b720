package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// Survey is what others' tables do to packets that we count, as far as the
// rules can be understood. What a set or map decides is understood where its
// keys are ports or protocols alone; maps of verdicts are passed over.
type Survey struct {
	// Translations change the destination of packets that come in.
	Translations []Translation
	// Offloads hand forwarded connections to a flowtable: their packets take no
	// hook any more.
	Offloads []Offload
	// Counters are rules that count a port's packets and do nothing else.
	Counters []PortCounter
	// LateFilters are chains that may drop packets after they were counted.
	LateFilters []Place
	// Unread says which chains could not be read, and why.
	Unread []error
}

// Place is where a rule stands. Chain is empty for a whole table.
type Place struct {
	Family, Table, Chain string
}

// String returns the place in nft's words, as in ip nat DOCKER.
func (p Place) String() string {
	if p.Chain == "" {
		return p.Family + " " + p.Table
	}
	return p.Family + " " + p.Table + " " + p.Chain
}

// PortRange is ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Translation is a rule that gives packets to some ports another destination.
type Translation struct {
	Place     Place
	Protocols accounting.Protocols
	Ports     []PortRange // before the translation
	// Address is the new one. It is the zero Addr where the packets stay on
	// this host, or where it comes from a map: Mapped.
	Address netip.Addr
	Mapped  bool
	Port    uint16 // the new one; 0: it stays, or comes from a map
}

// Covers tells whether the rule matches packets to the port.
func (t Translation) Covers(port accounting.Port) bool {
	return t.Protocols&port.Protocols != 0 && slices.ContainsFunc(t.Ports, func(r PortRange) bool {
		return r.First <= port.Number && port.Number <= r.Last
	})
}

// Offload is a rule that adds connections to a flowtable.
type Offload struct {
	Place     Place
	Flowtable string
}

// PortCounter is a rule that counts what Key names.
type PortCounter struct {
	Place Place
	Key   accounting.Key
}

// familyNames has the families that packets to ports come through.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip",
	nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyINet: "inet",
}

// Survey reads all tables but our own. It takes one dump a chain, more for the
// sets in its rules, and is meant for one look, not for every tick.
func (t *Table) Survey() (*Survey, error) {
	library, err := nftables.New(nftables.WithNetNSFd(t.options.NetNS))
	if err != nil {
		return nil, err
	}
	chains, err := library.ListChains()
	if err != nil {
		return nil, readError("listing the chains of all tables", err)
	}
	s := &surveyor{library: library, ours: t.options.Hook.chains(), dropping: make(map[Place]bool)}
	for _, c := range chains {
		if _, known := familyNames[c.Table.Family]; known && !isOwnTable(c.Table) {
			s.chain(c)
		}
	}
	for _, c := range chains {
		if s.isLateFilter(c) {
			s.found.LateFilters = append(s.found.LateFilters, placeOf(c))
		}
	}
	return &s.found, nil
}

func isOwnTable(table *nftables.Table) bool {
	return table.Family == nftables.TableFamilyINet && table.Name == TableName
}

func placeOf(c *nftables.Chain) Place {
	return Place{Family: familyNames[c.Table.Family], Table: c.Table.Name, Chain: c.Name}
}

// tableOf returns the place of the table, for what chains without a hook do:
// any chain of the table may jump there.
func tableOf(c *nftables.Chain) Place {
	return Place{Family: familyNames[c.Table.Family], Table: c.Table.Name}
}

// surveyor takes stock of one chain after the other.
type surveyor struct {
	library  *nftables.Conn
	ours     [2]chain
	found    Survey
	dropping map[Place]bool // base chains, and tables that have it in another chain
}

func (s *surveyor) chain(c *nftables.Chain) {
	rules, err := s.library.GetRules(c.Table, c)
	if errors.Is(err, unix.ENOENT) { // it went away meanwhile
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

func (s *surveyor) rule(c *nftables.Chain, r *ruleReading) {
	place := placeOf(c)
	if r.translation != nil && len(r.destination) > 0 && !isAt(c, nftables.ChainHookOutput) {
		translation := *r.translation
		translation.Place, translation.Protocols, translation.Ports = place, r.protocols, r.destination
		s.found.Translations = append(s.found.Translations, translation)
	}
	if r.flowtable != "" {
		s.found.Offloads = append(s.found.Offloads, Offload{place, r.flowtable})
	}
	if key, ok := r.counts(c); ok {
		s.found.Counters = append(s.found.Counters, PortCounter{place, key})
	}
	switch {
	case r.drops && c.Hooknum != nil:
		s.dropping[place] = true
	case r.drops:
		s.dropping[tableOf(c)] = true
	}
}

// isLateFilter tells whether a chain sees packets at one of our hooks after us
// and may drop them.
func (s *surveyor) isLateFilter(c *nftables.Chain) bool {
	if c.Hooknum == nil || c.Priority == nil || c.Type != nftables.ChainTypeFilter || isOwnTable(c.Table) || familyNames[c.Table.Family] == "" {
		return false
	}
	late := slices.ContainsFunc(s.ours[:], func(our chain) bool {
		return uint32(*c.Hooknum) == our.hook && int32(*c.Priority) >= our.priority
	})
	drops := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
	return late && (drops || s.dropping[placeOf(c)] || s.dropping[tableOf(c)])
}

func isAt(c *nftables.Chain, hook *nftables.ChainHook) bool {
	return c.Hooknum != nil && *c.Hooknum == *hook
}

// setElements returns the elements of a set by its name.
type setElements func(name string) ([]nftables.SetElement, error)

func (s *surveyor) setsOf(table *nftables.Table) setElements {
	return func(name string) ([]nftables.SetElement, error) {
		elements, err := s.library.GetSetElements(&nftables.Set{Table: table, Name: name})
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
		return elements, nil
	}
}
