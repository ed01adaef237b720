package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/agent"
	"ssmonitor/internal/confine"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "the agent: read the counters, keep the totals, publish the rates",
		Description: "run counts the ports in the list that `ssmonitor setup` wrote, or those that --shadowsocks and " +
			"--port name, and those in the file of clients, whose names are preferred. It applies changes of these " +
			"sources while it runs; a mistake in the file of clients is logged, and what it said before counts. It installs missing counters, " +
			"repairs its table if others change it, and publishes the rates once per interval. The only " +
			"privilege that it needs is CAP_NET_ADMIN. SIGTERM ends it, SIGHUP makes it read its sources again. " +
			"It follows the settings file and applies warn and addresses while it runs; check names the settings that wait for a restart. " +
			"Where a port is published, as by a container engine, run finds where it leads and counts it there. " +
			"With --list, it ignores the sources in the settings file, which are then for setup only.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor run\n" +
			"   ssmonitor run --port 20000=alice --interval 1s --csv /tmp/ssmonitor.tmp\n" +
			"   ssmonitor run --shadowsocks /etc/shadowsocks/config.json --csv ''",
		Flags: append(settingFlags(slices.Concat(settings.PortKeys, settings.PeriodKeys, settings.RetentionKeys, []string{"warn", "addresses", "state",
			"interval", "save-interval", "csv", "metrics-names", "textfile", "socket"})...), hidden(movedToMetrics...)...),
		Action: run,
	}
}

// movedToMetrics are the settings that up to version 0.2.0 had the agent serve /metrics
// over TCP.
var movedToMetrics = []string{"listen", "web-config"}

const metricsRemedy = "run `ssmonitor metrics`, or `systemctl enable --now ssmonitor-metrics.socket`"

func run(c *cli.Context) error {
	in := inputs(c)
	in.IgnoredInFile = settings.IgnoredByAgent
	for _, name := range movedToMetrics {
		if _, given := in.Flags[name]; given {
			return failure.Wrong(fmt.Errorf("--%s: the agent has no network, and /metrics over TCP is a process of its own: %s", name, metricsRemedy))
		}
	}
	if in.GivenAtStart("list") {
		// The sources in the settings file are for setup only then, as in the unit: the
		// agent opens no file with passwords.
		in.IgnoredInFile = settings.IgnoredByService
	}
	loaded, err := in.Load()
	if err != nil {
		return err
	}
	log := newLog(c.App.ErrWriter)
	for _, note := range loaded.Notes {
		log.Warn(note)
	}
	listen := slices.Concat(loaded.Ignored.Values["listen"], loaded.Origin("listen").Values)
	if listen := strings.Join(listen, ", "); listen != "" {
		log.Warn("the agent does not serve the address in the settings: /metrics over TCP is a process of its own", "listen", listen, "remedy", metricsRemedy)
	}
	if len(loaded.Shadowsocks)+len(loaded.ServerConfigs) > 0 {
		if err := confine.KeepOutOfDumps(); err != nil {
			return err
		}
	}
	return agent.Run(c.Context, loaded, agent.Options{
		Version: version(), Log: log, Lookup: os.Getenv, Confine: confine.Enter, Inputs: in,
	})
}
