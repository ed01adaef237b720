package publishing

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/nft"
	"ssmonitor/nft/conntrack"
	"ssmonitor/nft/ipvs"
	"ssmonitor/nft/survey"
)

// Scene is what the kernel knows that decides where published ports lead.
type Scene struct {
	Hook       nft.Hook
	Host       survey.Host
	Rules      *survey.Survey
	Redirected []accounting.Target // to which connections with ports of this host lead, each once
	Services   []ipvs.Service
	Installed  []accounting.Target // that the table counts
	// Listens reports whether a program of the host listens at a port.
	Listens func(accounting.Protocol, uint16) bool
	// Connected returns those of the targets that a connection still leads to.
	Connected func([]accounting.Target) ([]accounting.Target, error)
}

// Observe asks the kernel, in the network namespace of the calling thread. It takes
// milliseconds and more, so it is meant for the start and for changes. The error is
// fs.ErrPermission without CAP_NET_ADMIN.
func Observe(hook nft.Hook, installed []accounting.Target) (*Scene, error) {
	return new(hostWatch).observe(hook, installed)
}

func newScene(hook nft.Hook, host survey.Host, installed []accounting.Target) (*Scene, error) {
	s := &Scene{Hook: hook, Host: host, Installed: installed, Connected: connected}
	var err error
	if s.Rules, err = survey.Read(s.Host); err != nil {
		return nil, fmt.Errorf("looking for published ports: %w", err)
	}
	s.Listens = listens()
	if !hook.CountsForwarded() {
		return s, nil
	}
	if s.Services, err = ipvs.Services(); err != nil {
		return nil, err
	}
	seen := make(map[accounting.Target]bool)
	err = conntrack.Redirected(func(flow conntrack.Flow) {
		sentTo := flow.Original.Destination
		target := accounting.Target{Protocol: flow.Protocol, Address: flow.Reply.Source, Port: sentTo.Port()}
		if !seen[target] && slices.Contains(s.Host.Addresses, sentTo.Addr()) {
			seen[target] = true
			s.Redirected = append(s.Redirected, target)
		}
	})
	if err != nil && !errors.Is(err, conntrack.ErrUnsupported) {
		return nil, err
	}
	return s, nil
}

// listens returns a function that reports whether a program of the host listens at
// a port. Where the kernel can't list sockets, none does.
func listens() func(accounting.Protocol, uint16) bool {
	var listening accounting.KeyMap[bool]
	sockets, _ := sockdiag.ListeningSockets(accounting.TCPAndUDP)
	for _, socket := range sockets {
		*listening.At(accounting.Key{Port: socket.Port, Protocol: socket.Protocol}) = true
	}
	return func(protocol accounting.Protocol, port uint16) bool {
		return listening.Get(accounting.Key{Port: port, Protocol: protocol})
	}
}

// endpoint is one end of a connection.
type endpoint struct {
	protocol accounting.Protocol
	address  netip.AddrPort
}

func endpointOf(target accounting.Target) endpoint {
	return endpoint{target.Protocol, target.Address}
}

// connected implements Scene.Connected.
func connected(targets []accounting.Target) (still []accounting.Target, err error) {
	connected := make(map[endpoint]bool) // of the targets
	for _, target := range targets {
		connected[endpointOf(target)] = false
	}
	err = conntrack.Flows(func(flow conntrack.Flow) {
		for _, address := range flow.Ends() {
			end := endpoint{flow.Protocol, address}
			if _, wanted := connected[end]; wanted {
				connected[end] = true
			}
		}
	})
	if err != nil && !errors.Is(err, conntrack.ErrUnsupported) {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(targets), func(target accounting.Target) bool {
		return !connected[endpointOf(target)]
	}), nil
}
