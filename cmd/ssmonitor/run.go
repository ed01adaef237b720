package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"ssmonitor/integration/sources"
)

// socketGroup is the group that may read from the socket.
const socketGroup = "ssmonitor"

// metricsSocket is the name of systemd's socket for /metrics: its unit's
// FileDescriptorName.
const metricsSocket = "metrics"

// minReadGap is the shortest time between two readings for requests.
const minReadGap = 200 * time.Millisecond

func runCommand() *cli.Command {
	directory := runtimeDirectory(os.Getenv)
	return &cli.Command{
		Name:  "run",
		Usage: "the agent: read the counters, keep the totals, publish the rates",
		Description: "run counts the ports in the list that `ssmonitor setup` wrote, or those that --shadowsocks and\n" +
			"--port name, and applies changes of these sources while it runs. It installs missing counters,\n" +
			"repairs its table if others change it, and publishes the rates once per interval. The only\n" +
			"privilege that it needs is CAP_NET_ADMIN. SIGTERM ends it, SIGHUP makes it read its sources again.\n" +
			"Where a port is published, as by a container engine, run finds where it leads and counts it there.\n" +
			"With --ports, it ignores the sources in the settings file, which are then for setup only.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor run\n" +
			"   ssmonitor run --port 20000=alice --interval 1s --csv /tmp/ssmonitor.tmp\n" +
			"   ssmonitor run --shadowsocks /etc/shadowsocks/config.json --csv ''",
		Flags: slices.Concat(sourceFlags(), calendarFlags(), retentionFlags(), []cli.Flag{warnFlag(), addressesFlag(), stateFlag(), configFlag(),
			&cli.DurationFlag{
				Name: "interval", EnvVars: environment("interval"), Value: defaultInterval,
				Usage: "read and publish once per `TIME`",
			},
			&cli.DurationFlag{
				Name: "save-interval", EnvVars: environment("save-interval"), Value: defaultSave,
				Usage: "save the totals once per `TIME`, and at the end",
			},
			&cli.StringFlag{
				Name: "csv", EnvVars: environment("csv"), Value: filepath.Join(directory, csvName), TakesFile: true,
				Usage: "write the rates to `FILE`; empty: write no file",
			},
			&cli.StringFlag{
				Name: "listen", EnvVars: environment("listen"),
				Usage: "answer GET /metrics on the TCP `ADDRESS`, such as 127.0.0.1:10977", DefaultText: "none",
			},
			&cli.StringFlag{
				Name: "web-config", EnvVars: environment("web-config"), TakesFile: true,
				Usage: "TLS and passwords for /metrics on TCP: a web configuration `FILE` as Prometheus' exporters have it", DefaultText: "none",
			},
			&cli.StringFlag{
				Name: "metrics-names", EnvVars: environment("metrics-names"), Value: namesYes,
				Usage: "whether metrics have the names of clients: `yes|no`",
			},
			&cli.StringFlag{
				Name: "textfile", EnvVars: environment("textfile"), TakesFile: true,
				Usage: "write the metrics to `FILE` for node_exporter's textfile collector", DefaultText: "none",
			},
			&cli.StringFlag{
				Name: "socket", EnvVars: environment("socket"), Value: filepath.Join(directory, socketName), TakesFile: true,
				Usage: "answer readers on the unix socket `FILE`, and root on control.sock beside it; empty: open neither",
			},
		}),
		Action: run,
	}
}

func run(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	// If the list is named, as in the unit, the sources in the settings file are
	// for setup only: the agent then opens no file with passwords.
	var skip []string
	if c.IsSet("ports") {
		skip = []string{"shadowsocks", "server-config", "port"}
	}
	if err := applyConfig(c, skip...); err != nil {
		return err
	}
	limitMemory(heapShareOfAgent)
	agent, err := newAgent(c)
	if err != nil {
		return err
	}
	return errors.Join(agent.run(c.Context), agent.close())
}

// runSources returns the sources of run: those that the flags name, or else the
// list. If the list is named as well, it is read together with the other sources.
func runSources(c *cli.Context) (sources.Sources, error) {
	from, err := portSources(c)
	if len(from.Ports)+len(from.Shadowsocks)+len(from.Servers) == 0 || c.IsSet("ports") {
		from.List = c.String("ports")
	}
	if len(from.Shadowsocks)+len(from.Servers) > 0 {
		err = errors.Join(err, keepOutOfDumps())
	}
	return from, err
}

func checkIntervals(c *cli.Context) error {
	if err := checkInterval(c); err != nil {
		return err
	}
	if save := c.Duration("save-interval"); save < 0 || save > time.Hour {
		return wrongUsage(fmt.Errorf("save-interval %s: want 0s to 1h", save))
	}
	return nil
}

// checkInterval checks the interval of run and of top.
func checkInterval(c *cli.Context) error {
	if interval := c.Duration("interval"); interval < 100*time.Millisecond || interval > time.Hour {
		return wrongUsage(fmt.Errorf("interval %s: want 100ms to 1h", interval))
	}
	return nil
}
