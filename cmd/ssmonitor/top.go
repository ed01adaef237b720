package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/output/api"
	"ssmonitor/output/top"
)

func topCommand() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "the live table: who sends and receives how much now",
		Description: "top shows the clients in the terminal, the busiest first: bytes per second in and out, what they used " +
			"today and this month, the part of the monthly limit, TCP connections and the addresses these come from, " +
			"and a sparkline of the last minutes. In is what clients send to the server; \"-\" is not known. " +
			"A device has several addresses if it uses IPv4 and IPv6, MPTCP or a carrier's NAT.\n\n" +
			"It asks the agent on its socket, for root and members of the group " + settings.Group + ", and goes on by itself " +
			"when the agent ends and is started again.\n\n" +
			"Keys: arrows select a client and change the order, Enter shows its ports, its hours of today and, for " +
			"root, who is connected. / filters, Space pauses, ? explains all keys, q quits.\n\n" +
			"--once prints the table once, --json one line of JSON per refresh: {\"time\", \"interval_seconds\", \"in\", " +
			"\"out\", \"clients\": [{\"client\", \"ports\", \"in\", \"out\", \"today_bytes\", \"month_bytes\", \"limit\", " +
			"\"connections\", \"addresses\"}], \"problems\"}. In and out have bytes_per_second and packets_per_second. Unknown values " +
			"are omitted.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor top\n" +
			"   ssmonitor top --once\n" +
			"   ssmonitor top --json --interval 10s | jq '.clients[0]'",
		Flags: append(described(settingFlags("socket"), "socket", askSocket),
			// Without a variable and not from the settings, where interval is that of the agent.
			&cli.StringFlag{Name: "interval", Value: settings.DefaultInterval, Usage: "refresh every `TIME`, 100ms to 1h"},
			&cli.BoolFlag{Name: "once", Usage: "print the table once, as plain text"},
			&cli.BoolFlag{Name: "json", Usage: "print one line of JSON per refresh; with --once one line"},
		),
		Action: runTop,
	}
}

func runTop(c *cli.Context) error {
	interval, err := settings.ParseInterval("interval", c.String("interval"), settings.ShortestInterval)
	if err != nil {
		return failure.Wrong(err)
	}
	loaded, err := inputs(c).Load()
	if err != nil {
		return err
	}
	socket, once, json := loaded.Socket, c.Bool("once"), c.Bool("json")
	live := !once && !json
	switch {
	case socket == "":
		return failure.Wrong(errors.New("top reads the agent's socket, which is turned off: remove the empty socket from the settings, or name one with --socket"))
	case live && (!isTerminal(os.Stdin) || !isTerminal(c.App.Writer)):
		return failure.Wrong(errors.New("top needs a terminal: use --once to print the table once, or --json for a stream of lines"))
	case live && (os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb"):
		return failure.Wrong(fmt.Errorf("TERM=%s: this terminal can't move its cursor: use --once to print the table once, or --json for a stream of lines", os.Getenv("TERM")))
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding the host's name: %w", err)
	}
	t := &top.Top{Agent: api.NewClient(socket), Host: host, Interval: interval, Now: time.Now, Charset: charset()}
	if os.Geteuid() == 0 {
		t.Remotes = remotesOf(socket)
	}
	// As Ctrl-C does, a terminal that is closed ends the view.
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGHUP)
	defer stop()
	log := newLog(c.App.ErrWriter)
	switch {
	case once:
		err = t.Once(ctx, c.App.Writer, json, log)
	case json:
		err = t.Stream(ctx, c.App.Writer, log)
	default:
		err = t.Run(ctx)
	}
	if errors.Is(err, fs.ErrPermission) {
		err = failure.Remedied(err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
