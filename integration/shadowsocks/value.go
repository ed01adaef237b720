package shadowsocks

import (
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

// node is a value and its place in the file, as in servers[2].server_port. Its
// value is nil where the file has none, or null.
type node struct {
	place string
	*value
}

// onlyObjects returns the entries of a list of objects, and nothing of anything else.
// Unlike objects, it names no place, which takes more memory than the entries.
func (n node) onlyObjects() []value {
	if n.value == nil || slices.ContainsFunc(n.items, func(v value) bool { return v.kind != kindObject }) {
		return nil
	}
	return n.items
}

// at returns the value of a key of an object. If a key is there twice, the last
// one counts.
func (n node) at(key string) node {
	child := node{place: strings.TrimPrefix(n.place+"."+key, ".")}
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

// count returns how many entries a list has, or how many keys an object.
func (n node) count() int {
	if n.value == nil {
		return 0
	}
	return max(len(n.items), n.size)
}

func (n node) wrongKind(expected string) error {
	return &ValueError{n.place, string(n.kind), expected}
}

// list returns the entries of a list, and nothing where there is no value.
func (n node) list() ([]node, error) {
	if n.value == nil {
		return nil, nil
	}
	if n.kind != kindList {
		return nil, n.wrongKind("a list, [...]")
	}
	nodes := make([]node, len(n.items))
	for i := range n.items {
		nodes[i] = n.entry(i)
	}
	return nodes, nil
}

// entry returns an entry of a list.
func (n node) entry(i int) node {
	return node{n.place + "[" + strconv.Itoa(i) + "]", &n.items[i]}
}

// objects is list for lists of objects.
func (n node) objects() ([]node, error) {
	if n.is(kindList) {
		if i := slices.IndexFunc(n.items, func(v value) bool { return v.kind != kindObject }); i >= 0 {
			return nil, n.entry(i).wrongKind("an object, {...}")
		}
	}
	return n.list()
}

// each returns the entries of a list, or else the value itself.
func (n node) each() ([]node, error) {
	if n.value == nil || n.kind == kindList {
		return n.list()
	}
	return []node{n}, nil
}

// text returns a text; a missing one is empty.
func (n node) text() (string, error) {
	switch {
	case n.value == nil:
		return "", nil
	case n.kind != kindText:
		return "", n.wrongKind("a text")
	}
	return n.scalar, nil
}

// flag returns true or false; a missing one is the fallback.
func (n node) flag(fallback bool) (bool, error) {
	switch {
	case n.value == nil:
		return fallback, nil
	case n.kind != kindBool:
		return false, n.wrongKind("true or false")
	}
	return n.scalar == "true", nil
}

// port returns a port number, which the file gives as a number or as a text.
func (n node) port() (uint16, error) {
	const expected = "a port number from 1 to 65535"
	switch {
	case n.value == nil:
		return 0, &ValueError{n.place, "missing", expected}
	case n.kind == kindNumber:
		digits, base := strings.TrimPrefix(n.scalar, "+"), 10
		if hex, found := strings.CutPrefix(strings.ToLower(digits), "0x"); found {
			digits, base = hex, 16
		}
		number, err := strconv.ParseUint(digits, base, 16)
		if err != nil || number == 0 {
			return 0, portError(n.place, n.scalar)
		}
		return uint16(number), nil
	case n.kind == kindText:
		return parsePort(n.place, n.scalar)
	}
	return 0, n.wrongKind(expected)
}

// parsePort reads a port number. Spellings such as 20000.0 and 2e4 are errors
// here because they are errors to the servers.
func parsePort(place, text string) (uint16, error) {
	number, err := accounting.ParsePort(text)
	if err != nil {
		return 0, portError(place, text)
	}
	return number, nil
}
