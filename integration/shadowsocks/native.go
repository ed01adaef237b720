package shadowsocks

import "ssmonitor/accounting"

// isNative recognises the configuration of shadowsocksr-native, which has both ends of a
// connection in one file.
func isNative(root node) bool {
	return root.at("server_settings").is(kindObject) || root.at("client_settings").is(kindObject)
}

func readNative(c *collector, root node) {
	port := root.at("server_settings").at("listen_port")
	if port.value == nil {
		if !c.options.ForceServer {
			c.refuse("it has client_settings and no server_settings")
		}
		return
	}
	number, protocols := port.port(), accounting.TCPAndUDP
	if !root.at("udp").flag(true) {
		protocols = accounting.OnlyTCP
	}
	if root.at("over_tls_settings").at("enable").flag(false) {
		c.note("over_tls_settings: clients connect to a web server before it, which has another port: name that with --port")
	}
	users, _ := usersIn(root)
	c.addUsers(number, users)
	c.add(port, number, protocols, "")
}
