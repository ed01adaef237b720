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

// interval is how often the agent reads the counters and the view is drawn.
const interval = 500 * time.Millisecond

// The files of the demo, which are in memory and seen by its processes only.
const (
	directory     = "/run/ssmonitor-demo"
	configuration = directory + "/config.json"
	list          = directory + "/ports"
	csv           = directory + "/ssmonitor.csv"
)

// show runs the demo inside the namespace.
func show(ctx context.Context, out io.Writer, binary string, duration time.Duration) error {
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
	last, err := showRates(ctx, out, agent, duration)
	if err == nil {
		announce(out, "cat", csv)
		fmt.Fprintf(out, "%s(port, packets in, packets out, bytes in, bytes out; each per second)\n", last)
		err = complete(last)
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
	command := childOf(ctx, binary, "setup", "--no-search", "--shadowsocks", configuration, "--ports", list)
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
	command := childOf(ctx, binary, "run", "--ports", list, "--interval", interval.String(), "--csv", csv,
		"--socket", filepath.Join(directory, "ssmonitor.sock"), "--state", filepath.Join(directory, "state"))
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

// showRates sends the clients' traffic and draws the rates that the agent
// publishes, until the time is over, the context is done or something fails.
// It returns the CSV as it was drawn last.
func showRates(ctx context.Context, out io.Writer, agent *agent, duration time.Duration) (last string, err error) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	traffic := make(chan error, 1)
	go func() { traffic <- sendTraffic(ctx) }()
	view := newView(out)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case err := <-traffic: // ends with the context
			if err == nil && last == "" {
				err = errors.New("the agent has not published anything yet: give it more time with --duration")
			}
			return last, err
		case <-agent.ended:
			return last, errors.New("the agent ended too early")
		case <-ticks.C:
			content, err := os.ReadFile(csv)
			if errors.Is(err, os.ErrNotExist) {
				continue // the first interval is not over
			}
			if err != nil {
				return last, err
			}
			last = string(content)
			if err := view.draw(last); err != nil {
				return last, err
			}
		}
	}
}

// complete checks that the CSV shows traffic of every client both ways.
func complete(csv string) error {
	rows, err := parse(csv)
	if err != nil {
		return err
	}
	for _, client := range clients {
		if r := rows[client.port]; r.bytesIn == 0 || r.bytesOut == 0 {
			return fmt.Errorf("the traffic of port %d is not in the CSV", client.port)
		}
	}
	return nil
}

// announce shows a command as if it had been typed.
func announce(out io.Writer, words ...string) {
	fmt.Fprintf(out, "\n$ %s %s\n", filepath.Base(words[0]), strings.Join(words[1:], " "))
}
