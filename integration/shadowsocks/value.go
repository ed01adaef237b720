package shadowsocks

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"ssmonitor/accounting"
)

// kind is the type of a value, in words for error messages.
type kind string

const (
	kindNull   kind = "null"
	kindBool   kind = "true or false"
	kindNumber kind = "a number"
	kindText   kind = "a text"
	kindList   kind = "a list"
	kindObject kind = "an object"
)

// value is what a file holds in one place, in JSON or in YAML. The parsers keep
// the content of values only under the keys of [knownKeys]. Of any other value,
// such as a password, only the kind is kept.
type value struct {
	kind    kind
	scalar  string // of a number as the file spells it, of a text without quotes and escapes
	items   []value
	members []member // in the order of the file
	size    int      // how many entries a list has, or how many keys an object, kept or not
}

type member struct {
	key   string
	value value
}

// knownKeys are the keys whose values are read. No secret is among them.
var knownKeys = newKeySet(
	// shadowsocks-libev, shadowsocks-rust and the Python server
	"server", "server_port", "port_password", "mode", "plugin", "remarks", "name", "servers", "shadowsocks",
	"address", "port", "disabled", "local_port", "locals", "protocol", "obfs", "version", "manager_address",
	"online_config", "tun_interface_name", "tun_interface_address", "forward_address", "users",
	"port_key", "port_conf",
	// ShadowsocksR
	"user", "enable", "transfer_enable", "additional_ports", "additional_ports_only", "server_settings", "client_settings", "over_tls_settings",
	// Outline
	"accessKeys", "services", "listeners", "type", "keys", "web", "web_server",
	// sing-box, Xray, V2Ray
	"inbounds", "inbound", "inboundDetour", "outbounds", "tag", "listen", "listen_port", "network", "netns", "managed",
	"settings", "clients", "email", "destinations", "detour", "override_address", "override_port", "fallback", "transport", "endpoints",
	"streamSettings", "networks", "allowedNetwork", "security", "tlsSettings", "alpn", "dsSettings", "abstract", "fallbacks", "dest",
	"rewriteAddress", "rewritePort", "routing", "inboundTag", "outboundTag", "redirect",
	// shadowsocks-go
	"tcpListeners", "udpListeners", "enableTCP", "enableUDP",
	// gost and mihomo
	"addr", "handler", "listener", "udp", "proxies", "metadata", "Routes", "kcp-tun", "mkcp-config", "chains", "hops", "nodes", "connector",
)

// presentKeys are the keys of which it matters that they are there. Their values
// may be secrets, and only the kind is kept.
var presentKeys = newKeySet("uPSKs", "manager_port", "configs", "localPort",
	// of other programs
	"manager", "plugins", "db", "Nodes", "run_type", "portBindings", "congestion_control", "certificate", "private_key", "target", "auth", "acme",
	"masquerade", "up_mbps", "apps", "WebServerAddr", "TicketTimeHint", "ProxyBook", "ProxyMethod", "BindAddr",
)

// reducers return what is kept of texts that may have secrets in them, by their keys: the
// scheme and the port of a link such as ss://method:password@:8388, the number of users
// in a protocol_param of ShadowsocksR, the name of the file with shadowsocks-go's keys, and
// whether a plugin is on the side of a server.
var reducers = map[string]func(text string) string{
	"ServeNodes": reduceLink, "ChainNodes": reduceLink, "ss-config": reduceLink, "vmess-config": reduceLink, "protocol_param": reduceUsers,
	"uPSKStorePath": reducePath, "plugin_opts": reducePluginOptions, "plugin_args": reducePluginOptions,
}

// reduce returns what is kept of the text of a key.
func reduce(key, text string) string {
	if reducer, found := reducers[key]; found {
		return reducer(text)
	}
	return text
}

// keyedByPort are the keys of objects whose keys are ports.
var keyedByPort = newKeySet("port_password", "port_key", "port_conf", "additional_ports")

func newKeySet(keys ...string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return set
}

// lowerCase has keys of V2Ray and Xray, which read them in any case, by their spelling in
// lower case. The other servers do not, so that no key of theirs is among them.
var lowerCase = map[string]string{
	"inbounddetour": "inboundDetour", "streamsettings": "streamSettings", "tlssettings": "tlsSettings", "dssettings": "dsSettings",
	"allowednetwork": "allowedNetwork", "rewriteaddress": "rewriteAddress", "rewriteport": "rewritePort",
	"inboundtag": "inboundTag", "outboundtag": "outboundTag",
}

// spelled returns a key as [knownKeys] has it.
func spelled(key string) string {
	if usual, found := lowerCase[key]; found {
		return usual
	}
	return key
}

// keeps reports whether the key of an object is kept, and its content. The
// object itself is the value of parent, or an entry of it.
func keeps(parent, key string) (kept, content bool) {
	switch {
	case keyedByPort[parent]:
		return true, false // the keys are ports
	case parent == gostUsers:
		return true, false // the keys are names
	case parent == "routing" && key == "rules":
		return true, true // elsewhere there may be a million of them
	case parent == "keys" && key == "id":
		return true, true // the name of a client of Outline; elsewhere an id can be a secret
	case parent == "servers" && key == "id":
		return true, true // the name of a web server of Outline
	case parent == "dsSettings" && key == "path", parent == "streamSettings" && key == "method":
		return true, true // elsewhere they can be secrets, or what a secret was mistaken for
	}
	content = knownKeys[key] || reducers[key] != nil
	return content || presentKeys[key], content
}

// gostUsers is the name of the objects at handler.metadata.users, where gost has its users.
const gostUsers = "handler.metadata.users"

// within returns what [keeps] knows the object under a key by: with the keys above it
// where its own keys are names, which in other objects can be secrets.
func within(parent, key string) string {
	if path := parent + "." + key; path == "handler.metadata" || path == gostUsers {
		return path
	}
	return key
}

// mistakes holds the first mistake in a file, which is the one that is reported. Readers go
// on after it as if nothing stood there.
type mistakes struct{ first error }

// add adds a mistake, unless err is nil.
func (m *mistakes) add(err error) {
	if m.first == nil {
		m.first = err
	}
}

// node is a value and its place in the file, as in servers[2].server_port. Its
// value is nil where the file has none, or null.
type node struct {
	place string
	*value
	mistakes *mistakes // takes those in the value and below; nil where they are reported elsewhere
}

// fail records that the value is not what it should be.
func (n node) fail(is, expected string) {
	if n.mistakes != nil {
		n.mistakes.add(&ValueError{n.place, is, expected})
	}
}

// with returns the node so that mistakes in it are added to others than before.
func (n node) with(mistakes *mistakes) node {
	n.mistakes = mistakes
	return n
}

// onlyObjects visits the entries of a list of objects, and nothing of anything else.
// Unlike objects, it names no place, which takes more memory than the entries.
func (n node) onlyObjects() iter.Seq[node] {
	return func(yield func(node) bool) {
		if n.value == nil || slices.ContainsFunc(n.items, func(v value) bool { return v.kind != kindObject }) {
			return
		}
		for i := range n.items {
			if !yield(node{value: &n.items[i]}) {
				return
			}
		}
	}
}

// firstObject returns the first entry of a list of objects.
func (n node) firstObject() (first node) {
	n.any(func(entry node) bool {
		first = entry
		return true
	})
	return first
}

// any reports whether an entry of a list of objects meets the condition.
func (n node) any(condition func(node) bool) bool {
	for entry := range n.onlyObjects() {
		if condition(entry) {
			return true
		}
	}
	return false
}

// at returns the value of a key of an object. If a key is there twice, the last
// one counts.
func (n node) at(key string) node {
	child := node{place: strings.TrimPrefix(n.place+"."+key, "."), mistakes: n.mistakes}
	if n.value == nil {
		return child
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].key == key {
			if found := &n.members[i].value; found.kind != kindNull {
				child.value = found
			}
			break
		}
	}
	return child
}

// has reports whether the object has any of the keys, null not counted.
func (n node) has(keys ...string) bool {
	for _, key := range keys {
		if n.at(key).value != nil {
			return true
		}
	}
	return false
}

// or returns n, or other where there is no value.
func (n node) or(other node) node {
	if n.value == nil {
		return other
	}
	return n
}

// is reports whether there is a value of the kind.
func (n node) is(k kind) bool { return n.value != nil && n.kind == k }

// word returns the value if it is a text, and nothing of anything else.
func (n node) word() string {
	if n.is(kindText) {
		return n.scalar
	}
	return ""
}

// count returns how many entries a list has, or how many keys an object.
func (n node) count() int {
	if n.value == nil {
		return 0
	}
	return max(len(n.items), n.size)
}

// check reports whether the value is of the kind. A missing one is not, without being a
// mistake.
func (n node) check(k kind, expected string) bool {
	if n.value == nil || n.kind == k {
		return n.value != nil
	}
	n.fail(string(n.kind), expected)
	return false
}

// list returns the entries of a list, and nothing where there is no value.
func (n node) list() []node {
	if !n.check(kindList, "a list, [...]") {
		return nil
	}
	nodes := make([]node, len(n.items))
	for i := range n.items {
		nodes[i] = node{n.place + "[" + strconv.Itoa(i) + "]", &n.items[i], n.mistakes}
	}
	return nodes
}

// objects is list for lists of objects.
func (n node) objects() []node {
	entries := n.list()
	for _, entry := range entries {
		if !entry.check(kindObject, "an object, {...}") {
			return nil
		}
	}
	return entries
}

// each returns the entries of a list, or else the value itself.
func (n node) each() []node {
	if n.value == nil || n.kind == kindList {
		return n.list()
	}
	return []node{n}
}

// text returns a text; a missing one is empty.
func (n node) text() string {
	if n.check(kindText, "a text") {
		return n.scalar
	}
	return ""
}

// flag returns true or false; a missing one is the fallback.
func (n node) flag(fallback bool) bool {
	if n.check(kindBool, "true or false") {
		return n.scalar == "true"
	}
	return fallback
}

// port returns a port number, which the file gives as a number or as a text; 0 for
// anything else.
func (n node) port() uint16 {
	const expected = "a port number from 1 to 65535"
	switch {
	case n.value == nil:
		n.fail("missing", expected)
	case n.kind == kindNumber:
		digits, base := strings.TrimPrefix(n.scalar, "+"), 10
		if hex, found := strings.CutPrefix(strings.ToLower(digits), "0x"); found {
			digits, base = hex, 16
		}
		number, err := strconv.ParseUint(digits, base, 16)
		if err == nil && number > 0 {
			return uint16(number)
		}
		n.failPort(n.scalar)
	case n.check(kindText, expected):
		return n.portIn(n.scalar)
	}
	return 0
}

// portIn returns the port number in a part of the value, such as that of an address; 0 for
// anything else.
func (n node) portIn(text string) uint16 {
	number, err := accounting.ParsePort(text)
	if err != nil {
		n.failPort(text)
	}
	return number
}

// failPort records that the text is not a port number.
func (n node) failPort(text string) { n.fail(show(text), "a port number from 1 to 65535, digits only") }
