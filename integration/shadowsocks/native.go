package shadowsocks

import "ssmonitor/accounting"

// isNative recognises the configuration of shadowsocksr-native, which has both ends of a
// connection in one file.
func isNative(root node) bool {
	return root.at("server_settings").is(kindObject) || root.at("client_settings").is(kindObject)
}

func readNative(c *collector, root node) error {
	port := root.at("server_settings").at("listen_port")
	if port.value == nil {
		if c.options.ForceServer {
			return nil
		}
		return &ClientError{Reason: "it has client_settings and no server_settings"}
	}
	number, err := port.port()
	if err != nil {
		return err
	}
	udp, err := root.at("udp").flag(true)
	if err != nil {
		return err
	}
	protocols := accounting.TCPAndUDP
	if !udp {
		protocols = accounting.OnlyTCP
	}
	overTLS, err := root.at("over_tls_settings").at("enable").flag(false)
	if err != nil {
		return err
	}
	if overTLS {
		c.note("over_tls_settings: clients connect to a web server before it, which has another port: name that with --port")
	}
	users, _ := usersIn(root)
	c.share(number, users)
	return c.add(port.place, number, protocols, "")
}
