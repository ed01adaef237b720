package shadowsocks

// foreign are the files of other programs that people keep beside a server's, or take
// for one, and where their ports are.
var foreign = []struct {
	program string
	matches func(root node) bool
	remedy  string
}{
	{"shadowsocks-manager", isShadowsocksManager, "its ports are known to the server that it commands: name their range, as in --port 20000-20999, " +
		"or the working directory of ss-manager with --shadowsocks"},
	{"XrayR or V2bX", hasAny("Nodes"), "a panel gives the ports at run time: name them with --port"},
	{"Docker Compose", func(root node) bool { return root.at("services").is(kindObject) }, "name the file that the container reads with --shadowsocks, " +
		"or the published port with --port"},
	{"Trojan", hasAny("run_type"), "name its port with --port to count it, as in --port 443/tcp=trojan"},
	{"mieru", hasAny("portBindings"), "name its ports with --port to count them"},
	{"TUIC or Juicity", func(root node) bool {
		return root.has("congestion_control") || root.has("certificate") && root.has("private_key")
	},
		"name its port with --port to count it, as in --port 443/udp=tuic"},
	{"kcptun", hasAll("listen", "target"), "clients connect to the port of listen: name it with --port, as in --port 29900/udp=kcptun"},
	{"Hysteria", hasAny("auth", "acme", "masquerade", "up_mbps"), "name its port with --port to count it, as in --port 443/udp=hysteria"},
	{"ShadowTLS", func(root node) bool { return root.at("server").is(kindObject) },
		"clients connect to the port of listen: name it with --port, as in --port 443/tcp=alice"},
	{"Caddy", hasAny("apps"), "name its port with --port to count it, as in --port 443=web"},
}

// ownKeys are the keys of servers' configurations: a file that has one of them is no
// foreign one.
var ownKeys = []string{
	"server_port", "port_password", "port_key", "port_conf", "server_settings", "servers", "inbounds", "inbound", "inboundDetour", "outbounds", "listeners", "accessKeys", "keys", "ServeNodes", "Routes",
}

// refuseForeign returns a *ForeignError for the configuration of another program, and
// a *ClientError for the lists of servers that clients with windows keep.
func refuseForeign(root node) error {
	if profiles := root.onlyObjects(); root.is(kindList) && len(profiles) > 0 && (node{value: &profiles[0]}).has("server_port") {
		return &ClientError{Reason: "it is a list of servers for clients"}
	}
	if root.has("configs") && root.has("localPort") {
		return &ClientError{Reason: "it is a list of servers for clients, by its configs and its localPort"}
	}
	if root.has(ownKeys...) {
		return nil
	}
	for _, other := range foreign {
		if other.matches(root) {
			return &ForeignError{other.program, other.remedy}
		}
	}
	return nil
}

func hasAny(keys ...string) func(node) bool {
	return func(root node) bool { return root.has(keys...) }
}

func hasAll(keys ...string) func(node) bool {
	return func(root node) bool {
		for _, key := range keys {
			if !root.has(key) {
				return false
			}
		}
		return true
	}
}

// isShadowsocksManager recognises a file of shadowsocks-manager, the web panel that commands
// servers: its type is s on their hosts, and m on that of the panel.
func isShadowsocksManager(root node) bool {
	typ := root.at("type")
	return typ.is(kindText) && (typ.scalar == "s" || typ.scalar == "m") && root.has("manager", "plugins", "db")
}
