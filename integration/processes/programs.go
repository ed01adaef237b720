package processes

import (
	"path/filepath"
	"slices"
	"strings"
)

// program is a server, and what its options mean. Options are written without dashes.
type program struct {
	name  string
	names []string // further names of the executable
	// letters are the options of one letter that take a value, for a program that reads
	// several letters behind one dash. Without any, a dash is followed by a whole word.
	letters string
	files   []string // options with a configuration
	folders []string // options with a directory of configurations
	workdir []string // options with the directory that the program goes to
	home    []string // options with the directory that has the configuration inHome
	listen  []string // options with a port, an address or an ss:// URL
	address []string // options with the address that goes with listen, if that is a port only
	admin   []string // options with an address that is not for clients
	serves  protocols
	role    role
	// fallback is the configuration without any option, in the working directory.
	fallback string
	inHome   string
	commands []string // one of them starts the server, if there are any
}

// protocols are the options that say what a program serves. It serves TCP without them.
type protocols struct {
	both       string // the option for TCP and UDP
	udpOnly    string // the option for UDP only
	alwaysBoth bool   // TCP and UDP without any option
}

// role is what a program does.
type role int

const (
	servesShadowsocks role = iota // and nothing else
	servesSeveral                 // other protocols as well, so that a socket may be anything's
	manages                       // is told by UDP which ports to serve
	starts                        // its sockets are not for clients: it starts programs that have those
	connects                      // a client, unless an option of listen is there
)

var (
	pythonServer = &program{
		name: "ssserver", letters: "dspkmOoGgct", files: []string{"c"},
		listen: []string{"p"}, address: []string{"s"}, serves: protocols{alwaysBoth: true},
	}
	shadowsocksR = &program{
		name: "server.py", letters: "dspkmOoGgct", files: []string{"c"},
		listen: []string{"p"}, address: []string{"s"}, serves: protocols{alwaysBoth: true}, fallback: "user-config.json",
	}
)

// programs are the servers in circulation. To add one is to add a line here; its options
// are those that its own help names.
var programs = []*program{
	{ // https://github.com/shadowsocks/shadowsocks-libev, src/server.c
		name: "ss-server", letters: "fspkltmicbadn", files: []string{"c"},
		listen: []string{"p"}, address: []string{"s"}, serves: protocols{both: "u", udpOnly: "U"},
	},
	{ // https://github.com/shadowsocks/shadowsocks-libev, src/manager.c
		name: "ss-manager", letters: "fsklmtcidanD", files: []string{"c"}, folders: []string{"D", "workdir"}, role: starts,
	},
	{ // https://github.com/shadowsocks/shadowsocks-rust, src/service/server.rs; the scripts of xOS and jinqians rename it
		name: "ssserver", names: []string{"ss-rust", "shadowsocks-rust"}, letters: "sbkmtca", files: []string{"c", "config"},
		listen: []string{"s", "server-addr"}, serves: protocols{both: "U", udpOnly: "u"},
	},
	{ // https://github.com/shadowsocks/shadowsocks-rust, src/service/manager.rs
		name: "ssmanager", letters: "sbkmtca", files: []string{"c", "config"}, role: manages,
		admin: []string{"manager-addr", "manager-address"},
	},
	{ // https://github.com/shadowsocks/shadowsocks-rust, bin/ssservice.rs
		name: "ssservice", letters: "sbkmtca", files: []string{"c", "config"}, listen: []string{"s", "server-addr"},
		serves: protocols{both: "U", udpOnly: "u"}, admin: []string{"manager-addr", "manager-address"}, commands: []string{"server", "manager"},
	},
	{ // https://github.com/Jigsaw-Code/outline-ss-server, cmd/outline-ss-server/main.go
		name: "outline-ss-server", files: []string{"config"}, admin: []string{"metrics"},
	},
	{ // https://github.com/shadowsocks/go-shadowsocks2, main.go
		name: "go-shadowsocks2", names: []string{"shadowsocks2"}, listen: []string{"s"}, serves: protocols{both: "udp"}, role: connects,
	},
	{ // https://github.com/shadowsocks/shadowsocks-go, cmd/shadowsocks-server/server.go
		name: "shadowsocks-server", files: []string{"c"}, listen: []string{"p"}, serves: protocols{both: "u"},
	},
	{ // https://github.com/database64128/shadowsocks-go, cmd/shadowsocks-go/main.go
		name: "shadowsocks-go", files: []string{"confPath"}, role: servesSeveral,
	},
	{ // https://sing-box.sagernet.org/configuration/, and cmd/sing-box/cmd.go
		name: "sing-box", letters: "cCD", files: []string{"c", "config"}, folders: []string{"C", "config-directory"},
		workdir: []string{"D", "directory"}, fallback: "config.json", commands: []string{"run"}, role: servesSeveral,
	},
	{ // https://github.com/XTLS/Xray-core, main/run.go; https://github.com/bulianglin/demo renames it
		name: "xray", names: []string{"xrayL"}, files: []string{"c", "config"}, folders: []string{"confdir"}, fallback: "config.json", role: servesSeveral,
	},
	{ // https://github.com/v2fly/v2ray-core, main/commands/run.go
		name: "v2ray", files: []string{"c", "config"}, folders: []string{"d", "confdir"}, fallback: "config.json", role: servesSeveral,
	},
	{ // https://github.com/MetaCubeX/mihomo, main.go
		name: "mihomo", names: []string{"clash-meta", "clash.meta"}, files: []string{"f"}, home: []string{"d"},
		inHome: "config.yaml", role: servesSeveral,
	},
	{ // https://github.com/go-gost/gost, cmd/gost/main.go
		name: "gost", files: []string{"C"}, listen: []string{"L"}, role: servesSeveral,
	},
}

// commSize is how much of its name the kernel keeps of a process (TASK_COMM_LEN of
// include/linux/sched.h, without the zero).
const commSize = 15

// identify returns the program that the process is, and its arguments without its name;
// nil if it is no server. where returns the working directory, if it is known.
func identify(comm string, arguments []string, where func() string) (*program, []string) {
	if len(arguments) == 0 {
		return nil, nil
	}
	if isPython(filepath.Base(arguments[0])) {
		return identifyScript(arguments[1:], where)
	}
	for _, p := range programs {
		if p.isNamed(comm) {
			if p.startsServer(arguments[1:]) {
				return p, arguments[1:]
			}
			return nil, nil
		}
	}
	return nil, nil
}

// candidate reports whether a process of that name may be a server. The command lines of
// others are not read.
func candidate(comm string) bool {
	return isPython(comm) || slices.ContainsFunc(programs, func(p *program) bool { return p.isNamed(comm) })
}

// isNamed reports whether the kernel's name of a process is one of the program, also
// with the system behind it, as in xray-linux-amd64, and in the form of Nix, as in
// .xray-wrapped.
func (p *program) isNamed(comm string) bool {
	comm = strings.TrimSuffix(strings.TrimPrefix(comm, "."), "-wrapped")
	comm, _, _ = strings.Cut(comm, "-li") // the kernel may have cut the rest
	return slices.ContainsFunc(append([]string{p.name}, p.names...), func(name string) bool {
		return comm == name[:min(len(name), commSize)]
	})
}

// startsServer reports whether the arguments start a server.
func (p *program) startsServer(arguments []string) bool {
	if len(p.commands) == 0 {
		return true
	}
	return slices.ContainsFunc(arguments, func(argument string) bool { return slices.Contains(p.commands, argument) })
}

func isPython(name string) bool {
	version, found := strings.CutPrefix(name, "python")
	return found && strings.Trim(version, "0123456789.") == ""
}

// identifyScript returns the program of a script in Python: the ssserver of
// https://github.com/shadowsocks/shadowsocks, or ShadowsocksR's server.py, a name that
// says nothing by itself.
func identifyScript(arguments []string, where func() string) (*program, []string) {
	for i, argument := range arguments {
		switch {
		case argument == "-m" && i+1 < len(arguments) && arguments[i+1] == "shadowsocks.server":
			return pythonServer, arguments[i+2:]
		case strings.HasPrefix(argument, "-"):
		case filepath.Base(argument) == "ssserver":
			return pythonServer, arguments[i+1:]
		case filepath.Base(argument) == shadowsocksR.name && strings.Contains(strings.Join(arguments, " ")+where(), "shadowsocks"):
			return shadowsocksR, arguments[i+1:]
		default:
			return nil, nil
		}
	}
	return nil, nil
}
