package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// interval is how often the agent reads the counters and the table is drawn.
	interval = 500 * time.Millisecond
	// ahead is how long the clients have sent traffic when the table begins.
	ahead = 2 * time.Second
)

// The files of the demo, which are in memory and seen by its processes only.
const (
	directory     = "/run/ssmonitor-demo"
	configuration = directory + "/config.json"
	list          = directory + "/ports"
	csv           = directory + "/ssmonitor.csv"
	socket        = directory + "/ssmonitor.sock"
	state         = directory + "/state"
)

// show runs the demo inside the namespace.
func show(ctx context.Context, binary string, duration time.Duration) error {
	out := os.Stdout
	if err := prepare(); err != nil {
		return err
	}
	fmt.Fprintf(out, "A network namespace of its own, and in it a Shadowsocks configuration for %d clients.\n", len(clients))
	if err := setup(ctx, out, binary); err != nil {
		return err
	}
	agent, err := startAgent(ctx, out, binary)
	if err != nil {
		return err
	}
	err = showTraffic(ctx, agent, binary, duration)
	if err == nil {
		err = run(ctx, binary, "usage", "--state", state)
	}
	if err := errors.Join(err, agent.stop()); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe agent has ended. The namespace now disappears with everything in it; the host was not touched.")
	return nil
}

// prepare gives this process an empty /run, a loopback interface and a
// configuration.
func prepare() error {
	if err := mountMemory(filepath.Dir(directory)); err != nil {
		return err
	}
	if err := os.Mkdir(directory, 0o755); err != nil {
		return err
	}
	if output, err := exec.Command("ip", "link", "set", "dev", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("bringing up loopback with ip: %w: %s", err, output)
	}
	content, err := shadowsocksConfiguration()
	if err != nil {
		return err
	}
	return os.WriteFile(configuration, content, 0o600)
}

func setup(ctx context.Context, out io.Writer, binary string) error {
	command := childOf(ctx, binary, "setup", "--no-search", "--shadowsocks", configuration, "--list", list)
	announce(out, command.Args...)
	output, err := command.CombinedOutput()
	fmt.Fprintf(out, "%s", output)
	if err != nil {
		return fmt.Errorf("ssmonitor setup: %w", err)
	}
	return nil
}

// agent is a running `ssmonitor run`.
type agent struct {
	cancel context.CancelFunc
	log    bytes.Buffer  // read only after it has ended
	ended  chan struct{} // closed when it has ended
	err    error         // from its end
}

func startAgent(ctx context.Context, out io.Writer, binary string) (*agent, error) {
	a := &agent{ended: make(chan struct{})}
	ctx, a.cancel = context.WithCancel(ctx)
	command := childOf(ctx, binary, "run", "--list", list, "--interval", interval.String(), "--csv", csv,
		"--socket", socket, "--state", state, "--save-interval", "1s")
	command.Stdout, command.Stderr = &a.log, &a.log
	command.SysProcAttr.Setpgid = true // Ctrl-C is for the demo, which then ends the agent
	announce(out, command.Args...)
	if err := command.Start(); err != nil {
		a.cancel()
		return nil, fmt.Errorf("starting the agent: %w", err)
	}
	go func() {
		a.err = command.Wait()
		close(a.ended)
	}()
	return a, nil
}

// stop asks the agent to end and returns how it failed, with its log.
func (a *agent) stop() error {
	a.cancel()
	<-a.ended
	if a.err == nil || errors.Is(a.err, context.Canceled) { // Canceled: it succeeded after cancel
		return nil
	}
	return fmt.Errorf("the agent failed: %w; its log:\n%s", a.err, &a.log)
}

// showTraffic sends the clients' traffic and shows the live table, until the time is
// over, the user quits, the context is done or something fails. Without a terminal
// it shows the table once, at the end.
func showTraffic(ctx context.Context, agent *agent, binary string, duration time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	traffic := make(chan struct{})
	go func() {
		defer close(traffic)
		cancel(sendTraffic(ctx))
	}()
	go func() {
		select {
		case <-agent.ended:
			cancel(errors.New("the agent ended too early"))
		case <-ctx.Done():
		}
	}()
	fmt.Fprintln(os.Stdout)
	for _, client := range clients {
		fmt.Fprintf(os.Stdout, "%s %s.\n", client.name, client.does)
	}
	wait(ctx, ahead)
	table := []string{"top", "--interval", interval.String(), "--socket", socket}
	var err error
	if isTerminal() {
		err = play(ctx, duration, binary, table...)
	} else {
		wait(ctx, duration)
		err = run(ctx, binary, append(table, "--once")...)
	}
	cause := context.Cause(ctx) // before the traffic ends
	cancel(nil)
	<-traffic
	return errors.Join(cause, err)
}

func wait(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}

// run shows a command of ssmonitor and what it prints.
func run(ctx context.Context, binary string, arguments ...string) error {
	command := childOf(ctx, binary, arguments...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	announce(os.Stdout, command.Args...)
	if err := command.Run(); err != nil {
		return fmt.Errorf("ssmonitor %s: %w", arguments[0], err)
	}
	return nil
}

// announce shows a command as if it had been typed.
func announce(out io.Writer, words ...string) {
	fmt.Fprintf(out, "\n$ %s %s\n", filepath.Base(words[0]), strings.Join(words[1:], " "))
}
