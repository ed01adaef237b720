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

// socketGroup is who may read from the socket.
const socketGroup = "ssmonitor"

// metricsSocket is the name of systemd's socket for /metrics: its unit's
// FileDescriptorName.
const metricsSocket = "metrics"

// minReadGap bounds how often requests read the kernel.
const minReadGap = 200 * time.Millisecond

func runCommand() *cli.Command {
	directory := runtimeDirectory(os.Getenv)
	return &cli.Command{
		Name:  "run",
		Usage: "the agent: read the counters, keep the totals, publish the rates",
		Description: "run serves the list of ports that `ssmonitor setup` wrote, or the ports that --shadowsocks and\n" +
			"--port name, and follows their changes while it runs. It installs what is missing, puts right what\n" +
			"others change in its table, and publishes the rates once an interval. It needs CAP_NET_ADMIN and\n" +
			"nothing else. SIGTERM ends it, SIGHUP makes it read its sources again. With --ports the sources\n" +
			"in the settings of --config are for setup alone.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor run\n" +
			"   ssmonitor run --port 20000=alice --interval 1s --csv /tmp/ssmonitor.tmp\n" +
			"   ssmonitor run --shadowsocks /etc/shadowsocks/config.json --csv ''",
		Flags: slices.Concat(sourceFlags(), calendarFlags(), retentionFlags(), []cli.Flag{warnFlag(), stateFlag(), configFlag(),
			&cli.DurationFlag{
				Name: "interval", EnvVars: environment("interval"), Value: defaultInterval,
				Usage: "read and publish once in this `TIME`",
			},
			&cli.DurationFlag{
				Name: "save-interval", EnvVars: environment("save-interval"), Value: defaultSave,
				Usage: "save the totals once in this `TIME`, and at the end",
			},
			&cli.StringFlag{
				Name: "csv", EnvVars: environment("csv"), Value: filepath.Join(directory, csvName), TakesFile: true,
				Usage: "write the rates to `FILE`; empty: none",
			},
			&cli.StringFlag{
				Name: "listen", EnvVars: environment("listen"),
				Usage: "answer GET /metrics on the TCP `ADDRESS`, such as 127.0.0.1:9924", DefaultText: "none",
			},
			&cli.StringFlag{
				Name: "socket", EnvVars: environment("socket"), Value: filepath.Join(directory, socketName), TakesFile: true,
				Usage: "answer readers on the unix socket `FILE`; empty: none",
			},
		}),
		Action: run,
	}
}

func run(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	// Where the list is named, as in the unit, the file's own sources are for
	// setup alone: the agent opens no file with passwords.
	var skip []string
	if c.IsSet("ports") {
		skip = []string{"shadowsocks", "port"}
	}
	if err := applyConfig(c, skip...); err != nil {
		return err
	}
	agent, err := newAgent(c)
	if err != nil {
		return err
	}
	return errors.Join(agent.run(c.Context), agent.close())
}

// runSources returns where run takes the ports from: what the flags name, else
// the list. A list that was named is read beside them.
func runSources(c *cli.Context) (sources.Sources, error) {
	from, err := portSources(c)
	if len(from.Ports)+len(from.Shadowsocks) == 0 || c.IsSet("ports") {
		from.List = c.String("ports")
	}
	return from, err
}

func checkIntervals(c *cli.Context) error {
	if interval := c.Duration("interval"); interval < 100*time.Millisecond || interval > time.Hour {
		return wrongUsage(fmt.Errorf("interval %s: expected 100ms to 1h", interval))
	}
	if save := c.Duration("save-interval"); save < 0 || save > time.Hour {
		return wrongUsage(fmt.Errorf("save-interval %s: expected 0s to 1h", save))
	}
	return nil
}
