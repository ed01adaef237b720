package setup

import (
	"ssmonitor/accounting"
	"ssmonitor/integration/processes"
	"ssmonitor/internal/sockdiag"
)

// RunningServers is where setup and check look for servers beside their configurations.
var RunningServers = &processes.Procfs{Proc: "/proc", Listeners: receivers}

// receivers returns the sockets at which programs of the network namespace receive. It
// fails if the kernel can't list those of one of the protocols.
func receivers() ([]processes.Listener, error) {
	conn, err := sockdiag.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	var all []processes.Listener
	for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
		found, err := conn.Receivers(protocol)
		if err != nil {
			return nil, err
		}
		for _, listener := range found {
			all = append(all, processes.Listener{
				Port: listener.Port, Protocol: protocol, Inode: listener.Inode, Loopback: listener.Address.IsLoopback(),
			})
		}
	}
	return all, nil
}
