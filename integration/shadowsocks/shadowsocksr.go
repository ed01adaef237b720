package shadowsocks

import (
	"path/filepath"

	"ssmonitor/accounting"
)

const (
	// userConfig is ShadowsocksR's own configuration. In multi-user mode, the
	// clients are in multiUser beside it.
	userConfig = "user-config.json"
	multiUser  = "mudb.json"
)

// Companions returns the paths of the files that are read with the
// configuration at path, so that they can be watched.
func Companions(path string) []string {
	if filepath.Base(path) == userConfig {
		return []string{filepath.Join(filepath.Dir(path), multiUser)}
	}
	switch {
	case IsDatabase(path):
		return append([]string{path + "-wal"}, environmentsOf(path)...)
	case Managed(path):
		return []string{pidFile(path)}
	}
	return nil
}

// isMultiUser recognises mudb.json, a list of clients.
func isMultiUser(root node) bool {
	if !root.is(kindList) || len(root.items) == 0 {
		return root.is(kindList)
	}
	clients := root.onlyObjects()
	return len(clients) > 0 && node{value: &clients[0]}.has("port") && node{value: &clients[0]}.has("user", "transfer_enable")
}

func readMultiUser(c *collector, root node) error {
	clients, err := root.objects()
	if err != nil {
		return err
	}
	disabled := 0
	for _, client := range clients {
		enabled, err := switchedOn(client.at("enable"))
		if err != nil {
			return err
		}
		limit := client.at("transfer_enable")
		if !enabled || limit.is(kindNumber) && limit.scalar == "0" {
			disabled++
			continue
		}
		number, err := client.at("port").port()
		if err != nil {
			return err
		}
		name, err := client.at("user").text()
		if err != nil {
			return err
		}
		if err := c.add(client.place, number, accounting.TCPAndUDP, name); err != nil {
			return err
		}
		c.share(number, 1)
	}
	if len(clients) == 0 {
		c.missing("the list of clients is empty")
	}
	if disabled > 0 {
		c.missing("%d of %d clients are disabled, or may transfer nothing", disabled, len(clients))
	}
	return nil
}

// switchedOn reads 1, 0, true, false, or either of these as a text; a missing
// value is true.
func switchedOn(n node) (bool, error) {
	switch {
	case n.value == nil:
		return true, nil
	case n.kind == kindBool, n.kind == kindText, n.kind == kindNumber:
		return n.scalar != "false" && n.scalar != "0" && n.scalar != "", nil
	}
	return false, n.wrongKind("true or false, 1 or 0")
}

// readAdditionalPorts takes the ports that all clients of ShadowsocksR share in
// multi-user mode. They are counted if the clients are found.
func readAdditionalPorts(c *collector, root node) error {
	ports := root.at("additional_ports")
	if ports.value == nil {
		return nil
	}
	if ports.kind != kindObject {
		return ports.wrongKind("an object with the ports as its keys")
	}
	for _, entry := range sortedPorts(ports.members) {
		number, err := parsePort("a key of additional_ports", entry.key)
		if err != nil {
			return err
		}
		c.additional = append(c.additional, accounting.Port{Number: number, Protocols: accounting.TCPAndUDP})
	}
	only := root.at("additional_ports_only")
	var err error
	c.additionalOnly = false
	if only.value != nil {
		c.additionalOnly, err = switchedOn(only)
	}
	return err
}

// withClients returns the configuration of a ShadowsocksR with the clients of
// its mudb.json. Nothing listens on server_port in this mode.
func (config Config) withClients(clients Config) Config {
	config.Form = FormShadowsocksRUsers
	config.Ports = clients.Ports
	config.Notes = append(config.Notes, clients.Notes...)
	config.Notes = append(config.Notes, "the ports are those of the clients in mudb.json; nothing listens on server_port in multi-user mode")
	if len(config.additional) > 0 {
		config.Notes = append(config.Notes, "the clients share the additional_ports and can't be told apart by their counters")
		if config.additionalOnly {
			config.Ports = nil
		}
		config.Ports = append(config.Ports, config.additional...)
	}
	return config
}
