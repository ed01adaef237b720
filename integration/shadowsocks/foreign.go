package shadowsocks

import (
	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// foreign are the files of other programs that people keep beside a server's, or take
// for one, and where their ports are.
var foreign = []foreignProgram{
	{program: "shadowsocks-manager", matches: isShadowsocksManager, remedy: "its ports are known to the server that it commands: name their range, as in --port 20000-20999, " +
		"or the working directory of ss-manager with --shadowsocks"},
	{program: "XrayR or V2bX", matches: hasAny("Nodes"), remedy: "a panel gives the ports at run time: name them with --port"},
	{program: "Docker Compose", matches: func(root node) bool { return root.at("services").is(kindObject) }, remedy: "name the file that the container reads with --shadowsocks, " +
		"or the published port with --port"},
	{program: "Trojan", matches: hasAny("run_type"), remedy: "name its port with --port to count it, as in --port 443/tcp=trojan"},
	{program: "mieru", matches: hasAny("portBindings"), remedy: "name its ports with --port to count them"},
	{program: "TUIC or Juicity", matches: func(root node) bool { return root.has("congestion_control") || hasCertificate(root) },
		remedy: "name its port with --port to count it, as in --port 443/udp=tuic", listen: listenOfTUIC},
	{program: "kcptun", matches: func(root node) bool { return root.has("listen") && root.has("target") }, remedy: "clients connect to the port of listen: name it with --port, as in --port 29900/udp=kcptun"},
	{program: "Hysteria", matches: hasAny("auth", "acme", "masquerade", "up_mbps"),
		remedy: "name its port with --port to count it, as in --port 443/udp=hysteria", listen: func(root node) node { return root.at("listen") }},
	{program: "ShadowTLS", matches: func(root node) bool { return root.at("server").is(kindObject) },
		remedy: "clients connect to the port of listen: name it with --port, as in --port 443/tcp=alice"},
	{program: cloak, matches: hasAny("BindAddr"), remedy: "clients connect to the ports of BindAddr: name them with --port, as in --port 443/tcp=alice"},
	{program: "Cloak, a plugin", matches: hasAny("ProxyBook", "ProxyMethod"), remedy: remedyOfPlugin, silent: true},
	{program: "gq-server or gq-client, a plugin", matches: hasAny("WebServerAddr", "TicketTimeHint"), remedy: remedyOfPlugin, silent: true},
	{program: "Caddy", matches: hasAny("apps"), remedy: "name its port with --port to count it, as in --port 443=web"},
}

// cloak is a plugin, or runs before a server.
const cloak = "Cloak"

// foreignProgram is one that does not serve Shadowsocks, or not itself.
type foreignProgram struct {
	program string
	matches func(root node) bool
	remedy  string
	silent  bool                 // whether its file is beside a server's that has the ports
	listen  func(root node) node // the address on which it listens over UDP, if the file is a server's
}

const remedyOfPlugin = "the port is in the configuration of the server that starts the plugin: name that with --shadowsocks"

// ownKeys are the keys of servers' configurations: a file that has one of them is no
// foreign one.
var ownKeys = []string{
	"server_port", "port_password", "port_key", "port_conf", "server_settings", "servers", "inbounds", "inbound", "inboundDetour", "outbounds", "listeners", "accessKeys", "keys", "ServeNodes", "Routes",
}

// refuseLists returns a *ClientError for the lists of servers that clients with windows
// keep.
func refuseLists(root node) error {
	if root.firstObject().has("server_port") {
		return &ClientError{Reason: "it is a list of servers for clients"}
	}
	if root.has("configs") && root.has("localPort") {
		return &ClientError{Reason: "it is a list of servers for clients, by its configs and its localPort"}
	}
	return nil
}

// readForeign reads the configuration of another program, if it is one: its port is
// counted where those of any protocol are, and is a *ForeignError otherwise.
func readForeign(root node, options Options) (config Config, is bool, err error) {
	if root.has(ownKeys...) {
		return Config{}, false, nil
	}
	for _, other := range foreign {
		if other.matches(root) {
			config, err := other.read(root, options)
			return config, true, err
		}
	}
	return Config{}, false, nil
}

func (p foreignProgram) read(root node, options Options) (Config, error) {
	refusal := &ForeignError{p.program, p.remedy, p.silent}
	if !options.AnyProtocol || p.listen == nil || p.listen(root).value == nil {
		return Config{}, refusal
	}
	c := collector{options: options, form: &Form{Program: p.program, Sign: "its keys"}}
	address := p.listen(root.with(&c.mistakes))
	host, port := endpoint.Split(address.text())
	if c.mistakes.first == nil && (port == "" || !options.Host.isLocal(host)) {
		return Config{}, refusal
	}
	address.value = &value{kind: kindText, scalar: port}
	for _, number := range readPorts(&c, address) {
		c.add(address, number, accounting.OnlyUDP, "")
	}
	return c.config()
}

// listenOfTUIC returns where a server of TUIC listens, or one of Juicity, whose clients
// have an address to listen on as well.
func listenOfTUIC(root node) node {
	if !hasCertificate(root) {
		return node{}
	}
	return root.at("listen").or(root.at("server"))
}

func hasCertificate(root node) bool { return root.has("certificate") && root.has("private_key") }

// isShadowsocksManager recognises a file of shadowsocks-manager, the web panel that commands
// servers: its type is s on their hosts, and m on that of the panel.
func isShadowsocksManager(root node) bool {
	typ := root.at("type").word()
	return (typ == "s" || typ == "m") && root.has("manager", "plugins", "db")
}
