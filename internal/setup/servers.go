package setup

import (
	"ssmonitor/accounting"
	"ssmonitor/integration/processes"
	"ssmonitor/internal/sockdiag"
)

// RunningServers is where setup and check look for servers beside their configurations.
var RunningServers = &processes.Host{Proc: "/proc", Listeners: listeners}

// listeners returns the sockets at which programs of the network namespace listen. It
// fails if the kernel can't list those of one of the protocols.
func listeners() (all []processes.Listener, err error) {
	sockets, err := sockdiag.ListeningSockets(accounting.TCPAndUDP)
	if err != nil {
		return nil, err
	}
	for _, s := range sockets {
		all = append(all, processes.Listener{Port: s.Port, Protocol: s.Protocol, Inode: s.Inode, Loopback: s.Address.IsLoopback()})
	}
	return all, nil
}
