package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
)

var errNoPort = errors.New("no port found: name Shadowsocks' configuration, as in\n" +
	"   ssmonitor setup --shadowsocks /etc/shadowsocks/config.json\n" +
	"or the ports themselves, as in\n" +
	"   ssmonitor setup --port 20000=alice --port 20001=bob")

func setupCommand() *cli.Command {
	return &cli.Command{
		Name:  "setup",
		Usage: "find the ports, install their counters and write the list of ports",
		Description: "setup takes the ports from Shadowsocks' configuration (it searches the usual places, or reads\n" +
			"what --shadowsocks names) and from --port, makes a counter for each port, protocol and direction,\n" +
			"and writes the list of ports that `ssmonitor run` serves. The list holds numbers, protocols and\n" +
			"names, and no password. setup can be run again at any time: what counts goes on counting.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor setup\n" +
			"   ssmonitor setup --shadowsocks /etc/shadowsocks/config.json\n" +
			"   ssmonitor setup --port 20000=alice --port 20001/tcp=bob --port 21000-21009\n" +
			"   ssmonitor setup --dry-run",
		Flags: append(sourceFlags(), configFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "print the ruleset as nft text and touch nothing"},
			&cli.BoolFlag{Name: "if-configured", Usage: "succeed and change nothing if there is no port to count yet"},
		),
		Action: setup,
	}
}

func setup(c *cli.Context) error {
	if err := errors.Join(noArguments(c), applyConfig(c)); err != nil {
		return err
	}
	options, err := tableOptions(c)
	if err != nil {
		return err
	}
	ports, err := findPorts(c)
	if errors.Is(err, errNoPort) && c.Bool("if-configured") {
		fmt.Fprintln(c.App.ErrWriter, "note: there is no port to count yet, nothing was changed")
		return nil
	}
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return nft.WriteRuleset(c.App.Writer, options.Hook, ports)
	}
	table, err := nft.Open(options)
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	// The list comes first: a running agent takes counters that it knows no
	// port for out again.
	if err := portlist.Write(c.String("ports"), ports); err != nil {
		return err
	}
	if err := installCounters(c, table, ports); err != nil {
		return err
	}
	if err := noteOtherAgent(c.App.ErrWriter, c.String("ports")); err != nil {
		return err
	}
	return showPorts(c.App.Writer, c.String("ports"), ports)
}

// noteOtherAgent tells of a running agent that does not follow the list.
func noteOtherAgent(w io.Writer, list string) error {
	agent, err := presence.Find()
	if err != nil || agent == nil {
		return err
	}
	path, err := filepath.Abs(list)
	if err != nil {
		return err
	}
	if agent.List != path {
		fmt.Fprintf(w, "note: the running agent, process %d, does not follow %s and removes the counters of ports that it does not know: "+
			"start it without --port and --shadowsocks, or with --ports %s\n", agent.PID, path, path)
	}
	return nil
}

// findPorts returns the union of what the flags name, or of the usual places.
func findPorts(c *cli.Context) (accounting.Ports, error) {
	from, err := portSources(c)
	if err != nil {
		return nil, err
	}
	if len(from.Shadowsocks) == 0 {
		from.SearchRoot = "/"
	}
	result, err := sources.Follow(from).Load()
	for _, note := range result.Notes {
		fmt.Fprintf(c.App.ErrWriter, "note: %v\n", note)
	}
	if err != nil {
		return nil, wrongUsage(err)
	}
	if len(result.Ports) == 0 {
		return nil, errNoPort
	}
	return result.Ports, nil
}

func installCounters(c *cli.Context, table *nft.Table, ports accounting.Ports) error {
	findings, err := table.Verify(ports)
	if err != nil {
		return err
	}
	if len(findings) == 0 {
		fmt.Fprintln(c.App.ErrWriter, "note: all of it was counted already, nothing was changed")
		return nil
	}
	err = table.Install(ports)
	if errors.Is(err, nft.ErrOwned) {
		fmt.Fprintln(c.App.ErrWriter, "note: the running agent owns the table and takes the new list over by itself")
		return nil
	}
	return err
}

func showPorts(w io.Writer, list string, ports accounting.Ports) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "PORT\tCOUNTED\tNAME")
	for _, port := range ports {
		fmt.Fprintf(columns, "%d\t%s\t%s\n", port.Number, describeProtocols(port.Protocols), port.Name)
	}
	fmt.Fprintf(columns, "\n%s counted, listed in %s.\n", describeCount(len(ports)), list)
	return columns.Flush()
}

func describeProtocols(p accounting.Protocols) string {
	switch p {
	case accounting.OnlyTCP:
		return "tcp"
	case accounting.OnlyUDP:
		return "udp"
	}
	return "tcp, udp"
}
