package shadowsocks

import (
	"bytes"
	"slices"
	"strings"

	"ssmonitor/accounting"
)

// parseLines reads the two forms that are neither JSON nor YAML, and keeps the values that
// are needed. It reports false for any other text.
func parseLines(text []byte) (root value, found bool) {
	if root, found = parseUCI(text); !found {
		root, found = parseAssignments(text)
	}
	return root, found
}

// parseUCI reads what OpenWrt has in /etc/config: sections, such as config ss_server, with
// lines such as option server_port '8388'.
func parseUCI(text []byte) (root value, found bool) {
	servers, inServer, client := value{kind: kindList}, false, value{kind: kindNull}
	for line := range bytes.Lines(text) {
		words := strings.Fields(string(line))
		if len(words) < 2 || strings.HasPrefix(words[0], "#") {
			continue
		}
		section := words[0] == "config"
		if !found && !section && words[0] != "package" {
			return value{}, false
		}
		found = true
		key := strings.Trim(words[1], `'"`)
		if section {
			if inServer = key == "ss_server"; inServer {
				servers.items = append(servers.items, value{kind: kindObject})
			}
			if slices.Contains(uciClients, key) {
				client.kind = kindBool
			}
			continue
		}
		if inServer && len(words) > 2 && uciKeys[key] {
			server := &servers.items[len(servers.items)-1]
			server.members = append(server.members, member{strings.Clone(key), uciValue(key, strings.Trim(words[2], `'"`))})
		}
	}
	return value{kind: kindObject, members: []member{{"ss_server", servers}, {"client", client}}}, found
}

// uciClients are the sections of clients.
var uciClients = []string{"ss_local", "ss_redir", "ss_tunnel"}

var uciKeys = newKeySet("server_port", "mode", "plugin", "disabled")

// uciTrue are the spellings of true.
var uciTrue = []string{"1", "on", "true", "yes", "enabled"}

func uciValue(key, text string) value {
	if key != "disabled" {
		return value{kind: kindText, scalar: strings.Clone(text)}
	}
	if slices.Contains(uciTrue, text) {
		return value{kind: kindBool, scalar: "true"}
	}
	return value{kind: kindBool, scalar: "false"}
}

func readUCI(c *collector, root node) {
	servers := root.at("ss_server").objects()
	// As the script does that starts the servers.
	servers = slices.DeleteFunc(servers, func(server node) bool { return !server.has("server_port") })
	if len(servers) == 0 && root.has("client") {
		c.refuse("it has ss_local, ss_redir or ss_tunnel, and no ss_server with a server_port")
		return
	}
	if len(servers) == 0 {
		c.missing("it has no ss_server with a server_port")
	}
	mode := value{kind: kindObject, members: []member{{"mode", value{kind: kindText, scalar: "tcp_only"}}}}
	readServers(c, node{value: &mode}, servers)
	c.form = formOpenWrt
}

// parseAssignments reads the file that ss-go.sh writes, in lines such as PORT = 8388.
func parseAssignments(text []byte) (root value, found bool) {
	root = value{kind: kindObject}
	for line := range bytes.Lines(text) {
		key, content, _ := bytes.Cut(line, []byte("="))
		switch string(bytes.TrimSpace(key)) {
		case "PORT":
			root.members = append(root.members, member{"PORT", value{kind: kindText, scalar: string(bytes.TrimSpace(content))}})
		case "CIPHER":
			found = true
		}
	}
	return root, found && len(root.members) > 0
}

func readAssignments(c *collector, root node) {
	port := root.at("PORT")
	c.add(port, port.port(), accounting.TCPAndUDP, "")
}
