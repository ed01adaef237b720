package main

import (
	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/nft"
)

func addressesFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: "addresses", EnvVars: environment("addresses"),
		Usage: "warn when more addresses than this are connected to a port for a minute: `[CLIENT=]NUMBER`, such as 3 or alice=5, repeatable; a device has several if it uses IPv4 and IPv6, MPTCP or a carrier's NAT",
	}
}

// addressLimits parses --addresses.
func addressLimits(c *cli.Context) (connections.Limits, error) {
	limits, err := connections.ParseLimits(repeated(c, "addresses"))
	return limits, wrongUsage(err)
}

// openSockets prepares to count who is connected. If that is not possible, the
// connections stay unknown.
func (a *agent) openSockets(hook nft.Hook) {
	var source connections.Source
	// Where packets are counted before addresses are translated, any port may
	// lead to a container, whose connections are not seen here.
	if hook != nft.HookContainer {
		conn, err := sockdiag.Open()
		if err != nil {
			a.log.Warn("who is connected is unknown", "error", err)
		} else {
			a.sockets, source = conn, conn
		}
	} else if a.addressLimits.Any() {
		a.log.Warn("--addresses has no effect with --hook container: connections to containers can't be seen")
	}
	a.connections = connections.NewMeter(source, nil, a.log)
	a.addresses = connections.NewWatch(a.addressLimits, a.connections, nil)
}

// checkAddresses logs the ports whose number of addresses has crossed the limit.
// The report is nil if the tick failed.
func (a *agent) checkAddresses(report *accounting.Report) {
	if report == nil {
		return
	}
	for _, change := range a.addresses.Changed(report) {
		attributes := []any{"port", change.Port.Number, "client", change.Port.Name, "addresses", change.Addresses, "limit", change.Limit}
		if change.Over {
			a.log.Warn("more addresses than the limit are connected to a port", attributes...)
		} else {
			a.log.Info("no more addresses than the limit are connected to a port", attributes...)
		}
	}
}
