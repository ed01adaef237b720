package shadowsocks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

const (
	// maxPorts is every port once for TCP and once for UDP. It keeps a file of many
	// wide ranges from taking all memory.
	maxPorts = 2 * 65535
	// maxNotes is the most notes of a file, which a hostile one has for each server.
	maxNotes = 16
)

// collector gathers what a reader finds.
type collector struct {
	options  Options
	part     Part
	form     *Form
	mistakes mistakes // of which the first is the file's error
	ports    []accounting.Port
	notes    few               // of a file with ports, and further reasons of one without
	reasons  few               // why there may be no port; further notes of a file with ports
	users    map[uint16][2]int // behind a port, over TCP and over UDP
	others   few               // ports of other protocols, as 443 (vless): one note or reason
	blank    few               // places whose name can't be seen, as servers[0] (U+3164): one note

	additional []accounting.Port
}

// add adds a port that was read at a place, with its name cleaned.
func (c *collector) add(at node, number uint16, protocols accounting.Protocols, name string) {
	if len(c.ports) == maxPorts {
		at.fail("one port too many", "at most 131070 ports")
		return
	}
	c.ports = append(c.ports, accounting.Port{Number: number, Protocols: protocols, Name: c.cleanName(at.place, name)})
}

// refuse reports that the file configures a client.
func (c *collector) refuse(reason string) { c.mistakes.add(&ClientError{Reason: reason}) }

// cleanName returns the name of a client of the place, cleaned. It is a copy, since a
// part of a text would keep the whole of it in memory. If nothing of it can be seen, a
// note will mention the place: the port counts without a name.
func (c *collector) cleanName(place, text string) string {
	name := strings.Clone(accounting.CleanName(text))
	if shown := strings.TrimSpace(text); name == "" && shown != "" {
		first, _ := utf8.DecodeRuneInString(shown)
		c.blank.add(maxShown, "%s (%U)", place, first)
	}
	return name
}

func (c *collector) note(format string, arguments ...any) {
	c.notes.add(maxNotes, format, arguments...)
}

// missing records why a part of the configuration gives no port.
func (c *collector) missing(format string, arguments ...any) {
	c.reasons.add(maxNotes, format, arguments...)
}

// addUsers counts users behind a port.
func (c *collector) addUsers(number uint16, users int) {
	c.addUsersOver(accounting.TCPAndUDP, number, users)
}

// addUsersOver counts users behind a port over some protocols. What serves it over TCP and
// what serves it over UDP have the same users.
func (c *collector) addUsersOver(protocols accounting.Protocols, number uint16, users int) {
	if c.users == nil {
		c.users = make(map[uint16][2]int)
	}
	behind := c.users[number]
	for i, protocol := range []accounting.Protocols{accounting.OnlyTCP, accounting.OnlyUDP} {
		if protocols&protocol != 0 {
			behind[i] += users
		}
	}
	c.users[number] = behind
}

// nameHalves gives a port that is served over TCP in one place of the file, and over
// UDP in another, one name: the first.
func (c *collector) nameHalves() {
	halves := make(map[uint16]accounting.Port, len(c.ports))
	for i, port := range c.ports {
		half, found := halves[port.Number]
		if found && half.Protocols&port.Protocols == 0 && half.Name != "" {
			c.ports[i].Name = half.Name
		}
		half.Protocols |= port.Protocols
		half.Name = cmp.Or(half.Name, port.Name)
		halves[port.Number] = half
	}
}

// otherProtocols are those that a note names. Any other word might be a password in the
// wrong place.
var otherProtocols = []string{
	"anytls", "direct", "dns", "dokodemo-door", "http", "http2", "hysteria", "hysteria2", "masque", "mieru", "mixed",
	"mtproto", "naive", "none", "redir", "redirect", "relay", "shadowtls", "shadowsocksr", "sni", "snell", "socks", "socks4",
	"socks5", "ss", "sshd", "sudoku", "tcp", "tproxy", "trojan", "trojan-go", "trusttunnel", "tuic", "tun", "tunnel",
	"udp", "vless", "vmess", "wireguard",
}

// otherProtocol reports whether a port of the protocol is omitted. If so, a note
// will mention the port.
func (c *collector) otherProtocol(protocol, port string) bool {
	if c.options.AnyProtocol {
		return false
	}
	if !slices.Contains(otherProtocols, strings.ToLower(protocol)) {
		protocol = "another protocol"
	}
	c.others.add(maxShown, "%s (%s)", port, protocol)
	return true
}

// otherInbound is otherProtocol for an inbound. One on loopback, such as that of an API
// or one behind a web server, is nobody's loss.
func (c *collector) otherInbound(inbound node, protocol, port string) bool {
	if endpoint.IsLoopback(inbound.at("listen").word()) && !c.options.AnyProtocol {
		return true
	}
	return c.otherProtocol(protocol, port)
}

func notCounted(others few) string {
	return fmt.Sprintf("not counted, since it is not Shadowsocks: %s; --any-protocol counts all", others)
}

// config returns what was gathered, or the first mistake, or ErrNoPorts.
func (c *collector) config() (Config, error) {
	if c.mistakes.first != nil {
		return Config{}, c.mistakes.first
	}
	notes, reasons := c.notes, c.reasons
	if len(c.others.texts) > 0 {
		list := &notes
		if len(c.ports) == 0 {
			list = &reasons
		}
		list.add(maxNotes, "%s", notCounted(c.others))
	}
	if len(c.blank.texts) > 0 {
		notes.add(maxNotes, "counted without a name, since nothing of it can be seen: %s", c.blank)
	}
	if len(c.ports) == 0 {
		if reasons := append(reasons.all(), notes.all()...); len(reasons) > 0 {
			return Config{}, fmt.Errorf("%w: %s", ErrNoPorts, strings.Join(reasons, "; "))
		}
		if !c.form.basic {
			return Config{}, ErrNoPorts
		}
		return Config{}, fmt.Errorf("%w: want server_port, port_password, servers, inbounds, services or listeners; "+
			"if another program reads it, name its ports with --port", ErrNoPorts)
	}
	c.nameHalves()
	all := append(notes.all(), reasons.all()...)
	var shared few
	for _, number := range slices.Sorted(maps.Keys(c.users)) {
		if users := max(c.users[number][0], c.users[number][1]); users > 1 {
			shared.add(maxShown, "%d (%d users)", number, users)
		}
	}
	if len(shared.texts) > 0 {
		all = append(all, fmt.Sprintf("several users share a port and can't be told apart by its counters: %s", shared))
	}
	return Config{
		Form: c.form, Ports: slices.Clone(c.ports), Notes: all, additional: c.additional,
	}, nil
}

// maxShown is the most ports that a note names.
const maxShown = 8

// few holds the first of many texts, and how many more there were.
type few struct {
	texts []string
	more  int
}

// add adds a text, unless it is there, or most are there already.
func (f *few) add(most int, format string, arguments ...any) {
	switch text := fmt.Sprintf(format, arguments...); {
	case slices.Contains(f.texts, text):
	case len(f.texts) == most:
		f.more++
	default:
		f.texts = append(f.texts, text)
	}
}

// all returns the texts, and one for those that were not kept.
func (f few) all() []string {
	if f.more == 0 {
		return slices.Clip(f.texts)
	}
	return append(slices.Clip(f.texts), fmt.Sprintf("and %d more such notes", f.more))
}

// String joins the texts.
func (f few) String() string {
	if f.more == 0 {
		return strings.Join(f.texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(f.texts, ", "), f.more)
}
