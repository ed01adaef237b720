package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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
		Description: "setup takes the ports from Shadowsocks' configurations (those in the usual places, and those that\n" +
			"--shadowsocks names) and from --port, creates a counter for each port, protocol and direction, and\n" +
			"writes the list of ports that `ssmonitor run` serves. It prints the list: each port with its source,\n" +
			"+ if it was added, - if it was removed, ~ if its protocols or its name changed. The list contains no\n" +
			"password. setup can be run again at any time: existing counters continue.\n\n" +
			"A file in the usual places that can't be read is noted, and keeps the ports that it had. A file that\n" +
			"is named has to be right.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor setup\n" +
			"   ssmonitor setup --shadowsocks /srv/shadowsocks/config.json\n" +
			"   ssmonitor setup --port 20000=alice --port 20001/tcp=bob --port 21000-21009\n" +
			"   ssmonitor setup --no-search --port 51820/udp=wireguard\n" +
			"   ssmonitor setup --dry-run",
		Flags: append(sourceFlags(), noSearchFlag(), configFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "print the list, as comments, and the ruleset as nft text, and change nothing"},
			&cli.BoolFlag{Name: "json", Usage: "print the list as JSON, and no ruleset"},
			&cli.BoolFlag{Name: "if-configured", Usage: "succeed if there is no port to count yet, and change nothing"},
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
	found, err := findPorts(c)
	if errors.Is(err, errNoPort) && c.Bool("if-configured") {
		fmt.Fprintln(c.App.ErrWriter, "note: there is no port to count yet, nothing was changed")
		return nil
	}
	if err != nil {
		return err
	}
	list := c.String("ports")
	earlier, err := earlierList(c, list)
	if err != nil {
		return err
	}
	report := newSetupReport(list, earlier, found)
	if c.Bool("dry-run") {
		return report.writeDry(c.App.Writer, c.Bool("json"), options.Hook, found.Ports)
	}
	table, err := nft.Open(options)
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	// The list comes first: a running agent removes counters of ports that it
	// does not know.
	if err := portlist.Write(list, found.Entries); err != nil {
		return err
	}
	if err := installCounters(c, table, found.Ports); err != nil {
		return err
	}
	if err := noteOtherAgent(c.App.ErrWriter, list); err != nil {
		return err
	}
	if c.Bool("json") {
		return report.writeJSON(c.App.Writer)
	}
	return report.writeTable(c.App.Writer)
}

// noteOtherAgent prints a note if the running agent does not follow the list.
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
		fmt.Fprintf(w, "note: the running agent does not follow %s and removes the counters of ports that it does not know: "+
			"start it without --port and --shadowsocks, or with --ports %s\n", path, path)
	}
	return nil
}

// findPorts returns the union of what the flags name and of the usual places.
func findPorts(c *cli.Context) (sources.Result, error) {
	from, err := portSources(c)
	if err != nil {
		return sources.Result{}, err
	}
	if !c.Bool("no-search") {
		from.SearchRoot = "/"
		from.Earlier = c.String("ports")
	}
	result, err := sources.Follow(from).Load()
	for _, note := range result.Notes {
		fmt.Fprintf(c.App.ErrWriter, "note: %v\n", note)
	}
	if err != nil {
		return result, wrongUsage(err)
	}
	if len(result.Ports) == 0 && os.Geteuid() != 0 && !c.Bool("no-search") {
		return result, fmt.Errorf("not every usual place can be read by this user, so run it as root: %w", errNoPort)
	}
	if len(result.Ports) == 0 {
		return result, errNoPort
	}
	return result, nil
}

// earlierList returns the list that is replaced. It prints a note if the list has
// a mistake.
func earlierList(c *cli.Context, path string) ([]portlist.Entry, error) {
	entries, err := portlist.ReadEntries(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, new(*portlist.SpecError)), errors.Is(err, portlist.ErrNotAList):
		fmt.Fprintf(c.App.ErrWriter, "note: %v; the list is replaced\n", err)
	case errors.Is(err, fs.ErrPermission) && c.Bool("dry-run"):
	case err != nil:
		return nil, err
	}
	return entries, nil
}

func installCounters(c *cli.Context, table *nft.Table, ports accounting.Ports) error {
	findings, err := table.Verify(ports)
	if err != nil || len(findings) == 0 {
		return err
	}
	err = table.Install(ports)
	if errors.Is(err, nft.ErrOwned) {
		fmt.Fprintln(c.App.ErrWriter, "note: the running agent owns the table and loads the new list by itself")
		return nil
	}
	return err
}
