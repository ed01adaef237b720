package sources

import (
	"fmt"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/processes"
)

// give adds ports that a server gives without a configuration.
func (r *running) give(source string, ports []accounting.Port) {
	if len(ports) == 0 {
		return
	}
	if err := r.taken.ports(source, ports); err != nil {
		r.note(err)
		return
	}
	r.kept = append(r.kept, kept{source, ports})
}

// unexplained returns the ports that nothing but a command line or a socket names.
func (r *running) unexplained(ports []accounting.Port) []accounting.Port {
	return slices.DeleteFunc(slices.Clone(ports), func(port accounting.Port) bool {
		_, found := r.known.Find(port.Number)
		return found
	})
}

// listening adds the ports of command lines, and those at which servers listen though
// nothing else explains it. It notes those that may be of another protocol, and those of
// other users than root.
func (r *running) listening(explained []bool) {
	typed := make(map[uint16]bool)
	for _, server := range r.servers.Servers {
		if !server.Root() {
			continue
		}
		ports := r.unexplained(server.Ports)
		r.give(processSource(server.Program, ofArguments), ports)
		for _, port := range ports {
			typed[port.Number] = true
		}
	}
	perServer, err := r.servers.Listening(func(listener processes.Listener) bool {
		_, found := r.known.Find(listener.Port)
		return !found && !typed[listener.Port]
	})
	if err != nil {
		r.note(fmt.Errorf("the ports at which servers listen are unknown: %w", err))
	}
	for i, server := range r.servers.Servers {
		ports := perServer[i]
		switch {
		case !server.Root():
			all, _ := accounting.Union(ports, r.unexplained(server.Ports))
			r.withhold(server, all)
		case len(ports) == 0:
		case !server.Several:
			r.give(processSource(server.Program, ofSockets), ports)
		case !explained[i]:
			r.note(fmt.Errorf("the running %s listens at %s, and no configuration that was found says which of them is Shadowsocks': "+
				"name the file with --shadowsocks, or the port with --port", server.Program, describe(ports)))
		}
	}
	if more := r.withheld - maxWithheld; more > 0 {
		r.note(fmt.Errorf("%d more notes on running servers of other users than root are not shown", more))
	}
}

// withhold notes ports that do not count, since any user may start a program under any
// name.
func (r *running) withhold(server processes.Server, ports []accounting.Port) {
	if len(ports) > 0 {
		r.noteOther(fmt.Errorf("%s (process %d of user %s) listens on %s: name it with --port, if it is to be counted",
			server.Program, server.PID, server.User(), describe(ports)))
	}
}

func describe(ports []accounting.Port) string {
	const most = 8
	var texts []string
	for _, port := range ports[:min(len(ports), most)] {
		texts = append(texts, portlist.FormatSpec(port))
	}
	if more := len(ports) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}

// noteOther notes something of another user's server. Any user may start thousands.
func (r *running) noteOther(err error) {
	if r.withheld++; r.withheld <= maxWithheld {
		r.note(err)
	}
}
