package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/terminal"
	"ssmonitor/nft"
)

const errNoPort = terminal.Message("no port found: name Shadowsocks' configuration, as in\n" +
	"   ssmonitor setup --shadowsocks /etc/shadowsocks/config.json\n" +
	"or the ports themselves, as in\n" +
	"   ssmonitor setup --port 20000=alice --port 20001=bob")

func setupCommand() *cli.Command {
	return &cli.Command{
		Name:  "setup",
		Usage: "find the ports, install their counters and write the list of ports",
		Description: "setup takes the ports from Shadowsocks' configurations (those in the usual places, those that running\n" +
			"servers were started with, and those that --shadowsocks names) and from --port, creates a counter for\n" +
			"each port, protocol and direction, and writes the list of ports that `ssmonitor run` serves. It prints\n" +
			"the list: each port with its source, + if it was added, - if it was removed, ~ if its protocols, its\n" +
			"name or where it is forwarded to changed, and below that what each configuration was taken for. The list\n" +
			"contains no password. setup can be run again at any time: existing counters continue.\n\n" +
			"A file in the usual places that can't be read is noted, and keeps the ports that it had. A file that\n" +
			"is named has to be right.\n\n" +
			"A running server of root counts by the file, or the port, of its command line; as root, setup also\n" +
			"sees the ports at which a server listens that serves nothing but Shadowsocks. Such a port has a source\n" +
			"as process ss-server: /srv/shadowsocks.json, and is added only if nothing else names it. A server of\n" +
			"another user counts by a file that only root can write, and that user can read; its other ports are\n" +
			"noted, to be named with --port. Servers in a network namespace of their own are not asked.\n\n" +
			"A published port, such as one of a container engine, is counted where the host forwards its packets.\n" +
			"The agent, or setup where no agent runs, finds that by the rules that translate addresses, by IPVS\n" +
			"and by connections; setup notes it. --port 8388@172.17.0.2:8388 names the container's address and port\n" +
			"if they can't be found; a second @ names another one.\n\n" +
			"--port counts the port of any service, Shadowsocks or not. Users who share a port can't be told\n" +
			"apart: give each a port of their own.\n\n" +
			"With --follow, setup runs until it is stopped, as ssmonitor-setup.service does: it sets up again\n" +
			"whenever a file that it has read, a usual place or the firewall's ruleset changes, within a second or\n" +
			"two, and when servers start or end, within half a minute. If there are thousands of files, it looks at\n" +
			"some of them each second. A mistake in a file is then logged, and the ports in force stay; so do those\n" +
			"of servers that have ended, until setup without --follow. SIGHUP makes it set up again. All files\n" +
			"together may have 32 MiB; a file beyond that counts as one that can't be read.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor setup\n" +
			"   ssmonitor setup --shadowsocks /srv/shadowsocks/config.json\n" +
			"   ssmonitor setup --port 20000=alice --port 20001/tcp=bob --port 21000-21009\n" +
			"   ssmonitor setup --port 8388@172.17.0.2:8388=alice --port '8389@[fd00::2]'\n" +
			"   ssmonitor setup --no-search --port 51820/udp=wireguard\n" +
			"   ssmonitor setup --dry-run",
		Flags: append(sourceFlags(), noSearchFlag(), stateFlag(), configFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "print the list, as comments, and the ruleset as nft text, and change nothing"},
			&cli.BoolFlag{Name: "json", Usage: "print the list as JSON, and no ruleset"},
			&cli.BoolFlag{Name: "follow", Usage: "keep running, and set up again when a configuration changes"},
			&cli.BoolFlag{Name: "if-configured", Usage: "succeed if there is no port to count yet, and change nothing"},
		),
		Action: setup,
	}
}

func setup(c *cli.Context) error {
	if err := errors.Join(noArguments(c), keepOutOfDumps()); err != nil {
		return err
	}
	if c.Bool("follow") {
		return followSetup(c)
	}
	if err := applyConfig(c); err != nil {
		return err
	}
	options, from, err := setupSettings(c)
	if err != nil {
		return err
	}
	p := &publisher{hook: options.Hook}
	found, forwarding, err := findPorts(sources.Follow(from), p, options)
	printNotes(c, found.Notes)
	if errors.Is(err, errNoPort) && c.Bool("if-configured") {
		fmt.Fprintln(c.App.ErrWriter, "note: there is no port to count yet, nothing was changed")
		return nil
	}
	if errors.Is(err, errNoPort) && os.Geteuid() != 0 && !c.Bool("no-search") {
		err = fmt.Errorf("not every usual place can be read by this user, so run it as root: %w", err)
	}
	if err != nil {
		return err
	}
	report, notes, err := applySetup(c, options, found, forwarding, false)
	printNotes(c, notes)
	switch {
	case err != nil:
		return err
	case c.Bool("json"):
		return report.writeJSON(c.App.Writer)
	case c.Bool("dry-run"):
		return report.writeDry(textWriter(c), options.Hook, found.Ports, forwarding)
	}
	return report.writeTable(textWriter(c), math.MaxInt)
}

func printNotes(c *cli.Context, notes []error) {
	for _, note := range notes {
		fmt.Fprintf(c.App.ErrWriter, "note: %s\n", terminal.Line(note))
	}
}

// setupSources returns what the flags name, and the usual places.
func setupSources(c *cli.Context) (sources.Sources, error) {
	from, err := portSources(c)
	if !c.Bool("no-search") {
		from.SearchRoot = "/"
		from.Processes = runningServers
		from.Following = c.Bool("follow")
		from.Earlier = c.String("ports")
	}
	return from, err
}

// findPorts reads the sources, and where those of the ports lead that are published.
// The error is errNoPort if the sources name no port.
func findPorts(follower *sources.Follower, p *publisher, options nft.Options) (sources.Result, accounting.Forwarding, error) {
	result, err := follower.Load()
	if err != nil {
		return result, accounting.Forwarding{}, wrongUsage(err)
	}
	if len(result.Ports) == 0 {
		return result, accounting.Forwarding{}, errNoPort
	}
	forwarding, err := decideForSetup(p, &result, options)
	return result, forwarding, err
}

// applySetup writes the list of ports and installs their counters, unless this is
// a dry run. If the table was installed for the list before, and for what is forwarded, and
// the list is the same, the table is the agent's concern.
func applySetup(c *cli.Context, options nft.Options, found sources.Result, forwarding accounting.Forwarding, installed bool) (report *setupReport, notes []error, err error) {
	list := c.String("ports")
	earlier, notes, err := earlierList(c, list)
	if err != nil {
		return nil, notes, err
	}
	report = newSetupReport(list, earlier, found)
	report.charset = terminal.CharsetOf(os.Getenv)
	if note := memoryNote("/", len(found.Ports)); note != nil {
		notes = append(notes, note)
	}
	notes = append(notes, findingNotes(checkup.AlikeNames(found.Ports))...)
	notes = append(notes, findingNotes(checkup.ThisMachine().LocalPorts(found.Ports, string(options.Hook)))...)
	if c.Bool("dry-run") || installed && !report.changed() {
		return report, notes, nil
	}
	table, err := nft.Open(options)
	if err != nil {
		return nil, notes, err
	}
	defer func() { _ = table.Close() }()
	// The list comes first: a running agent removes counters of ports that it
	// does not know.
	if err := portlist.Write(list, found.Entries); err != nil {
		return nil, notes, err
	}
	agent, err := presence.Find(stateDirectory(c), defaultState)
	if err != nil {
		return nil, notes, err
	}
	if agent == nil {
		table.SetForwarding(forwarding) // otherwise the agent does, alone
	}
	owned, err := installCounters(table, found.Ports)
	if err != nil {
		return nil, notes, err
	}
	if owned {
		notes = append(notes, errOwnedByAgent)
	}
	note, err := otherList(agent, list)
	if note != nil {
		notes = append(notes, note)
	}
	return report, notes, err
}

var errOwnedByAgent = errors.New("the running agent owns the table and loads the new list by itself")

// otherList returns a note if the running agent does not follow the list.
func otherList(agent *presence.Agent, list string) (note, err error) {
	if agent == nil {
		return nil, nil
	}
	path, err := filepath.Abs(list)
	if err != nil || agent.List == path {
		return nil, err
	}
	return fmt.Errorf("the running agent does not follow %s and removes the counters of ports that it does not know: "+
		"start it without --port and --shadowsocks, or with --ports %s", path, path), nil
}

// earlierList returns the list that is replaced, and a note if the list has a
// mistake. A file that setup did not write and can't read may be anything.
func earlierList(c *cli.Context, path string) (entries []portlist.Entry, notes []error, err error) {
	entries, err = portlist.ReadEntries(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, new(*portlist.LineError)), errors.Is(err, portlist.ErrNotAList):
		if !portlist.WrittenBySetup(path) {
			return nil, nil, fmt.Errorf("%w: setup did not write this file, and does not replace it: correct or remove it, or name another one with --ports", err)
		}
		return entries, []error{fmt.Errorf("%w; the list is replaced", err)}, nil
	case errors.Is(err, fs.ErrPermission) && c.Bool("dry-run"):
	case err != nil:
		return nil, nil, err
	}
	return entries, nil, nil
}

// installCounters reports whether the running agent owns the table, so that only
// the agent can change it.
func installCounters(table *nft.Table, ports accounting.Ports) (owned bool, err error) {
	findings, err := table.Verify(ports)
	if err != nil || len(findings) == 0 {
		return false, err
	}
	err = table.Install(ports)
	if errors.Is(err, nft.ErrOwned) {
		return true, nil
	}
	return false, err
}
