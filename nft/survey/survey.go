// Package survey reads other people's rules: what the rest of the firewall does
// to the packets that ssmonitor counts. It changes nothing, and has a netlink
// connection of its own.
//
// Translations are found by following packets that clients send to ports of this
// host through the chains at prerouting, as the kernel does. What the packets have
// in common is known; where a rule asks for anything else, both outcomes are
// followed. See [Survey.Translations] and [Survey.Unresolved].
package survey

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Survey is what the tables of others do to packets that ssmonitor counts.
type Survey struct {
	Translations    []Translation // rules that change the destination of packets from clients
	Elsewhere       []Translation // rules that do so for addresses that this host does not have, of which 256 are looked at
	Unresolved      []Unresolved  // rules that may do so in a way that is not understood
	Offloads        []Offload     // rules that move connections to a flowtable, past every hook
	CountingRules   []Place       // of rules that count a port and do nothing else, one for each
	Transparent     []Transparent // rules that hand what is sent to other hosts to a program of this one
	Mirrors         []Mirror      // chains that send copies of packets, which may be counted twice
	LaterDropChains []Place       // base chains that may drop packets after they were counted
	LegacyNAT       bool          // whether iptables-legacy may translate: its rules can't be read
	Unread          []error       // one per rule or set that could not be read
}

// Place is where a rule stands.
type Place struct{ Family, Table, Chain string }

// String returns the place as nft writes it, such as ip nat DOCKER.
func (p Place) String() string { return p.Family + " " + p.Table + " " + p.Chain }

// Offload is a rule that adds connections to a flowtable.
type Offload struct {
	Place     Place
	Flowtable string
}

// Mirror is a chain with rules that send copies of packets to another host, with
// nft's dup or the target TEE of iptables. A copy passes the output hook as if this
// host had sent it, and counts there if its source port is a counted port.
type Mirror struct {
	Place     Place
	Sent      bool // copies what programs of this host send
	Forwarded bool // copies what is forwarded, such as the replies of containers
}

// Read surveys every table but ssmonitor's own. It lists all rules and the sets
// that matter, so it is meant for a single look: what it finds changes with the
// [Generation] of the ruleset, and with the host's addresses and uplinks. It needs
// CAP_NET_ADMIN; the error is fs.ErrPermission without it.
func Read(host Host) (survey *Survey, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the netlink socket: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	const attempts = 3 // the rules of two generations don't fit together
	for range attempts {
		before, err := generation(conn)
		if err != nil {
			return nil, err
		}
		rules, err := readRuleset(conn)
		if err != nil {
			return nil, err
		}
		survey = rules.survey(host)
		if after, err := generation(conn); err != nil || after == before {
			return survey, err
		}
	}
	return survey, nil
}

func (r *ruleset) survey(host Host) *Survey {
	survey := &Survey{
		Offloads:        r.offloads(),
		CountingRules:   r.countingRules(),
		Transparent:     r.transparent(),
		Mirrors:         r.mirrors(host),
		LaterDropChains: r.laterDropChains(),
		LegacyNAT:       legacyNAT("/proc/thread-self/net", "/sys/module"),
	}
	r.reportTranslations(host, survey)
	survey.Elsewhere = r.elsewhere(host, survey.Translations)
	survey.Unread = r.unread
	return survey
}

// Generation returns the generation of the ruleset, which every change by anybody
// advances.
func Generation() (uint32, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, fmt.Errorf("opening the netlink socket: %w", err)
	}
	id, err := generation(conn)
	return id, errors.Join(err, conn.Close())
}

func generation(conn *netlink.Conn) (id uint32, err error) {
	var malformed error
	err = request(conn, unix.NFT_MSG_GETGEN, unix.NFPROTO_UNSPEC, 0, nil, func(payload []byte) {
		_, data := header(payload)
		values, err := valuesOf(data)
		id, malformed = number(values[unix.NFTA_GEN_ID]), err
	})
	if err := errors.Join(err, malformed); err != nil {
		return 0, fmt.Errorf("looking up the generation of the ruleset: %w", err)
	}
	return id, nil
}
