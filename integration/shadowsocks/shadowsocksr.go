package shadowsocks

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"ssmonitor/accounting"
)

const (
	// userConfig is ShadowsocksR's own configuration. In multi-user mode, the
	// clients are in multiUser beside it.
	userConfig = "user-config.json"
	multiUser  = "mudb.json"
)

// errNoClients means that nobody has been added to mudb.json.
var errNoClients = fmt.Errorf("%w: the list of clients is empty", ErrNoPorts)

// Companions returns the paths of the files that are read with the
// configuration at path, so that they can be watched.
func Companions(path string) []string {
	if filepath.Base(path) == userConfig {
		return []string{filepath.Join(filepath.Dir(path), multiUser)}
	}
	switch {
	case IsDatabase(path):
		return append([]string{path + "-wal"}, environmentOf(path).paths...)
	case Managed(path):
		return []string{pidFile(path)}
	}
	return nil
}

// isMultiUser recognises mudb.json, a list of clients.
func isMultiUser(root node) bool {
	client := root.firstObject()
	return root.is(kindList) && len(root.items) == 0 || client.has("port") && client.has("user", "transfer_enable")
}

func readMultiUser(c *collector, root node) {
	clients := root.objects()
	if len(clients) == 0 {
		c.mistakes.add(errNoClients)
		return
	}
	var shared few
	disabled, portless := 0, 0
	for _, client := range clients {
		limit := client.at("transfer_enable")
		if !switchedOn(client.at("enable")) || limit.is(kindNumber) && limit.scalar == "0" {
			disabled++
			continue
		}
		if isIdentity(client.at("port")) {
			portless++
			continue
		}
		number := client.at("port").port()
		if _, many := usersIn(client); many {
			shared.add(maxShown, "%d", number)
		}
		c.add(client, number, accounting.TCPAndUDP, client.at("user").text())
		c.addUsers(number, 1)
	}
	if len(shared.texts) > 0 {
		c.note("all clients may share a port and can't be told apart by its counters: %s", shared)
	}
	if portless > 0 {
		c.missing("%d of %d clients share the port of others: their own is above 65535, and only tells them apart", portless, len(clients))
	}
	if disabled > 0 {
		c.missing("%d of %d clients are disabled, or may transfer nothing", disabled, len(clients))
	}
}

// isIdentity reports whether a port is above 65535: nothing listens there, and it only
// identifies a client on a port that all share.
func isIdentity(port node) bool {
	if !port.is(kindNumber) && !port.is(kindText) {
		return false
	}
	number, err := strconv.ParseUint(port.scalar, 10, 32)
	return err == nil && number > 65535
}

// reduceUsers returns the number of users in a protocol_param such as
// 64#1:password,2:password, and nothing where no # says that there may be some.
func reduceUsers(text string) string {
	_, users, found := strings.Cut(text, "#")
	if !found {
		return ""
	}
	count := 0
	for user := range strings.SplitSeq(users, ",") {
		if strings.Count(user, ":") == 1 {
			count++
		}
	}
	return strconv.Itoa(count)
}

// usersIn returns how many users the protocol_param of a server has. It reports whether
// there may be some, which a multi-user server adds itself.
func usersIn(server node) (users int, many bool) {
	param := server.at("protocol_param")
	if !param.is(kindText) {
		return 0, false
	}
	users, err := strconv.Atoi(param.scalar)
	return users, err == nil
}

// switchedOn reads 1, 0, true, false, or either of these as a text; a missing
// value is true.
func switchedOn(n node) bool {
	switch {
	case n.value == nil:
		return true
	case n.kind == kindBool, n.kind == kindText, n.kind == kindNumber:
		return n.scalar != "false" && n.scalar != "0" && n.scalar != ""
	}
	n.fail(string(n.kind), "true or false, 1 or 0")
	return false
}

// readAdditionalPorts takes the ports that all clients of ShadowsocksR share in
// multi-user mode. They are counted if the clients are found, or if they alone are open.
func readAdditionalPorts(c *collector, root node) {
	for number := range keyedPorts(root.at("additional_ports")) {
		c.additional = append(c.additional, accounting.Port{Number: number, Protocols: accounting.TCPAndUDP})
	}
	only := root.at("additional_ports_only")
	if only.value == nil || len(c.additional) == 0 || !switchedOn(only) || c.mistakes.first != nil {
		return
	}
	// wherever the clients are kept: a file beside this one, or a panel's database
	c.form, c.ports, c.users = formShadowsocksRUsers, c.additional, nil
	c.note("additional_ports_only: nothing listens on server_port, and %s", shareAdditional)
}

const shareAdditional = "the clients share the additional_ports and can't be told apart by their counters"

// withClients returns the configuration of a ShadowsocksR with the clients of
// its mudb.json. Nothing listens on server_port in this mode.
func (config Config) withClients(clients Config) Config {
	config.Form = formShadowsocksRUsers
	config.Ports = clients.Ports
	config.Notes = append(config.Notes, clients.Notes...)
	config.Notes = append(config.Notes, "the ports are those of the clients in mudb.json; nothing listens on server_port in multi-user mode")
	if len(config.additional) > 0 {
		config.Notes = append(config.Notes, shareAdditional)
		config.Ports = append(config.Ports, config.additional...)
	}
	return config
}

// withPanel returns the configuration of a ShadowsocksR that has additional_ports, and so
// clients, but not beside it. It may be a leftover, and server_port is counted as well.
func (config Config) withPanel() Config {
	config.Form = formShadowsocksRUsers
	config.Ports = append(config.Ports, config.additional...)
	config.Notes = append(config.Notes, shareAdditional, "the ports of clients in a panel's database are not known here: name their range with --port")
	return config
}
