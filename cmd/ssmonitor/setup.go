package main

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/confine"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/setup"
	"ssmonitor/internal/terminal"
)

func setupCommand() *cli.Command {
	return &cli.Command{
		Name:  "setup",
		Usage: "find the ports, install their counters, write the list of ports",
		Description: "setup takes the ports from Shadowsocks' configurations (those in the usual places, those that running " +
			"servers were started with, and those that --shadowsocks names) and from --port, creates a counter for " +
			"each port, protocol and direction, and writes the list of ports that `ssmonitor run` serves. It prints " +
			"the list: each port with its source, + if it was added, - if it was removed, ~ if its protocols, its " +
			"name or where it is forwarded to changed, and below that what each configuration was taken for. The list " +
			"contains no password. setup can be run again at any time: existing counters continue.\n\n" +
			"A file in the usual places that can't be read is noted, and keeps the ports that it had. A file that " +
			"is named has to be right.\n\n" +
			"A running server of root counts by the file, or the port, of its command line; as root, setup also " +
			"sees the ports at which a server listens that serves nothing but Shadowsocks. Such a port has a source " +
			"as process ss-server: /srv/shadowsocks.json, and is added only if nothing else names it. A server of " +
			"another user counts by a file that only root can write, and that user can read; its other ports are " +
			"noted, to be named with --port. Servers in a network namespace of their own are not asked.\n\n" +
			"A published port, such as one of a container engine, is counted where the host forwards its packets. " +
			"The agent, or setup where no agent runs, finds that by the rules that translate addresses, by IPVS " +
			"and by connections; setup notes it. --port 8388@172.17.0.2:8388 names the container's address and port " +
			"if they can't be found; a second @ names another one.\n\n" +
			"--port counts the port of any service, Shadowsocks or not. Users who share a port can't be told " +
			"apart: give each a port of their own.\n\n" +
			"With --follow, setup runs until it is stopped, as ssmonitor-setup.service does: it sets up again " +
			"whenever a file that it has read, a usual place or the firewall's ruleset changes, within a second or " +
			"two, and when servers start or end, within half a minute. If there are thousands of files, it looks at " +
			"some of them each second. A mistake in a file is then logged, and the ports in force stay; so do those " +
			"of servers that have ended, until setup without --follow. SIGHUP makes it set up again. All files " +
			"together may have 32 MiB; a file beyond that counts as one that can't be read.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor setup\n" +
			"   ssmonitor setup --shadowsocks /srv/shadowsocks/config.json\n" +
			"   ssmonitor setup --port 20000=alice --port 20001/tcp=bob --port 21000-21009\n" +
			"   ssmonitor setup --port 8388@172.17.0.2:8388=alice --port '8389@[fd00::2]'\n" +
			"   ssmonitor setup --no-search --port 51820/udp=wireguard\n" +
			"   ssmonitor setup --dry-run",
		Flags: append(settingFlags(append(settings.PortKeys, "no-search", "state")...),
			&cli.BoolFlag{Name: "dry-run", Usage: "print the list, as comments, and the ruleset as nft text, and change nothing"},
			&cli.BoolFlag{Name: "json", Usage: "print the list as JSON, and no ruleset"},
			&cli.BoolFlag{Name: "follow", Usage: "keep running, and set up again when a configuration changes"},
			&cli.BoolFlag{Name: "if-configured", Usage: "succeed if there is no port to count yet, and change nothing"},
		),
		Action: runSetup,
	}
}

func runSetup(c *cli.Context) error {
	if err := confine.KeepOutOfDumps(); err != nil {
		return err
	}
	if c.Bool("follow") {
		return followSetup(c)
	}
	given := inputs(c)
	loaded, err := given.Load()
	if err != nil {
		return err
	}
	found, err := setup.Find(loaded, given.Flags["port"])
	printRemarks(c, found.Remarks)
	switch {
	case errors.Is(err, setup.ErrNoPort) && c.Bool("if-configured"):
		fmt.Fprintln(c.App.ErrWriter, "note: there is no port to count yet, nothing was changed")
		return nil
	case errors.Is(err, setup.ErrNoPort) && os.Geteuid() != 0 && !loaded.NoSearch:
		return fmt.Errorf("not every usual place can be read by this user, so run it as root: %w", err)
	case err != nil:
		return err
	}
	apply := setup.Apply
	if c.Bool("dry-run") {
		apply = setup.Compare
	}
	report, remarks, err := apply(loaded, found)
	printRemarks(c, remarks)
	switch {
	case err != nil:
		return err
	case c.Bool("json"):
		return report.WriteJSON(c.App.Writer)
	case c.Bool("dry-run"):
		return report.WriteDry(textWriter(c), charset(), loaded.Hook, found)
	}
	return report.WriteTable(textWriter(c), charset(), math.MaxInt)
}

func printRemarks(c *cli.Context, remarks []finding.Remark) {
	for _, remark := range remarks {
		fmt.Fprintf(c.App.ErrWriter, "note: %s\n", terminal.Line(remark))
	}
}

func followSetup(c *cli.Context) error {
	if c.Bool("dry-run") || c.Bool("json") {
		return failure.Wrong(errors.New("--follow excludes --dry-run and --json: see ssmonitor setup --help"))
	}
	err := setup.Follow(c.Context, setup.FollowOptions{Inputs: inputs(c), Out: textWriter(c), Log: newLog(c.App.ErrWriter), Lookup: os.Getenv})
	if errors.Is(err, setup.ErrAgain) {
		return exitCode(exitAgain)
	}
	return err
}
