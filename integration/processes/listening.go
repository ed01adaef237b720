package processes

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/sockdiag"
)

const (
	// maxOpen is the most open files of a process that are looked at.
	maxOpen = 1 << 16
	// maxDepth is how far a plugin may be from its server: through a shell, as a rule.
	maxDepth = 8
)

// Listening returns, for each server, the ports at which it or a program that it has
// started, such as a plugin, receives from clients, as far as unexplained reports that
// nothing else explains the port. Sockets of servers that are hidden are unknown.
func (f *Found) Listening(unexplained func(sockdiag.ListeningSocket) bool) ([][]accounting.Port, error) {
	ports := make([][]accounting.Port, len(f.Servers))
	if f.host.Listeners == nil || len(f.Servers) == 0 {
		return ports, nil
	}
	all, err := f.host.Listeners(accounting.TCPAndUDP)
	if err != nil {
		return ports, err
	}
	wanted := make(map[uint32]sockdiag.ListeningSocket)
	for _, listener := range all {
		if !listener.Address.IsLoopback() && unexplained(listener) {
			wanted[listener.Inode] = listener
		}
	}
	if len(wanted) == 0 {
		return ports, nil
	}
	parents, err := f.host.parents()
	if err != nil {
		return ports, err
	}
	byPID := make(map[int]int, len(f.Servers))
	for i, server := range f.Servers {
		byPID[server.PID] = i
	}
	received := make([][]sockdiag.ListeningSocket, len(f.Servers))
	for pid := range parents {
		if i, found := serverOf(pid, byPID, parents); found && !f.Servers[i].Hidden {
			received[i] = append(received[i], f.host.owned(pid, wanted)...)
		}
	}
	ephemeral := f.host.ephemeral()
	accepted := make(map[uint16]bool)
	for _, listener := range all {
		if listener.Protocol == accounting.TCP && !listener.Address.IsLoopback() {
			accepted[listener.Port] = true
		}
	}
	for i, listeners := range received {
		server := &f.Servers[i]
		ports[i] = server.forClients(listeners, func(listener sockdiag.ListeningSocket) bool {
			return listener.Protocol == accounting.UDP && !accepted[listener.Port] &&
				(server.line.manager || ephemeral.contains(listener.Port))
		})
	}
	return ports, nil
}

// serverOf returns the server that a process is, or that has started it.
func serverOf(pid int, byPID, parents map[int]int) (i int, found bool) {
	for range maxDepth {
		if i, found = byPID[pid]; found {
			return i, true
		}
		if pid = parents[pid]; pid <= 1 {
			break
		}
	}
	return 0, false
}

// owned returns the sockets that the process has open.
func (h *Procfs) owned(pid int, wanted map[uint32]sockdiag.ListeningSocket) (found []sockdiag.ListeningSocket) {
	path := h.path(pid, "fd")
	directory, err := os.Open(path)
	if err != nil {
		return nil // it has ended
	}
	defer directory.Close() //nolint:errcheck // nothing was written
	names, _ := directory.Readdirnames(maxOpen)
	for _, name := range names {
		target, err := os.Readlink(filepath.Join(path, name))
		if err != nil {
			continue
		}
		if inode, isSocket := strings.CutPrefix(target, "socket:["); isSocket {
			number, _ := strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 32)
			if listener, ok := wanted[uint32(number)]; ok {
				found = append(found, listener)
			}
		}
	}
	return found
}

// portRange is the first and the last port of a range.
type portRange struct{ first, last uint64 }

// ephemeral returns the ports that the kernel gives sockets that ask for none.
func (h *Procfs) ephemeral() portRange {
	usual := portRange{32768, 60999}
	text, err := h.read("sys/net/ipv4", "ip_local_port_range", maxText)
	fields := strings.Fields(text)
	if err != nil || len(fields) != 2 {
		return usual
	}
	first, firstErr := strconv.ParseUint(fields[0], 10, 16)
	last, lastErr := strconv.ParseUint(fields[1], 10, 16)
	if firstErr != nil || lastErr != nil {
		return usual
	}
	return portRange{first, last}
}

func (r portRange) contains(port uint16) bool {
	return uint64(port) >= r.first && uint64(port) <= r.last
}

// forClients returns the ports of the sockets that clients send to. A server opens a
// socket for each client whose datagrams it relays, at a port that the kernel gives it,
// and a manager one at which it is told what to serve.
func (s Server) forClients(listeners []sockdiag.ListeningSocket, inward func(sockdiag.ListeningSocket) bool) []accounting.Port {
	if s.program.role == starts {
		return nil
	}
	var ports []accounting.Port
	for _, listener := range listeners {
		if inward(listener) || slices.Contains(s.line.admin, listener.Port) {
			continue
		}
		received := accounting.OnlyTCP
		if listener.Protocol == accounting.UDP {
			received = accounting.OnlyUDP
		}
		ports = append(ports, accounting.Port{Number: listener.Port, Protocols: received})
	}
	union, _ := accounting.Union(ports)
	return union
}
