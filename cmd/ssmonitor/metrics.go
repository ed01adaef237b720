package main

import (
	"github.com/urfave/cli/v2"

	"ssmonitor/internal/exporter"
	"ssmonitor/internal/settings"
)

func metricsCommand() *cli.Command {
	return &cli.Command{
		Name:  "metrics",
		Usage: "serve Prometheus' metrics over TCP",
		Description: "metrics answers GET /metrics over TCP with what the agent answers on its socket, so that the agent needs " +
			"no network. It needs no privilege except membership in the socket's group, " + settings.Group + ". While " +
			"no agent answers, the response is 503; it goes on by itself when the agent is started again.\n\n" +
			"Under systemd it runs when somebody first asks:\n\n" +
			"   systemctl enable --now ssmonitor-metrics.socket\n\n" +
			"That serves 127.0.0.1:10977; the unit says how to change the address, and --listen has no effect. Every local user can " +
			"read it, and thus the names and traffic that the socket shows to its group only.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor metrics\n" +
			"   ssmonitor metrics --listen :10977 --web-config /etc/ssmonitor/web.yml\n" +
			"   ssmonitor metrics --metrics-names no",
		Flags:  described(settingFlags("listen", "web-config", "metrics-names", "socket"), "socket", askSocket),
		Action: runMetrics,
	}
}

func runMetrics(c *cli.Context) error {
	loaded, err := inputs(c).Load()
	if err != nil {
		return err
	}
	return exporter.Run(c.Context, loaded, newLog(c.App.ErrWriter))
}
