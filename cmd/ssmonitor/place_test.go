package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// place is a network namespace with the files of one agent.
type place struct {
	t                                *testing.T
	directory                        string
	config, list, state, socket, csv string
}

// newPlace moves the test into a network namespace of its own.
func newPlace(t *testing.T) *place {
	t.Helper()
	testkit.NetworkNamespace(t)
	directory := testkit.OpenDirectory(t)
	in := func(name string) string { return filepath.Join(directory, name) }
	p := &place{t, directory, in("config.json"), in("ports"), in("state"), in("private/socket"), in("ssmonitor.csv")}
	if err := os.Mkdir(in("private"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.configure(`{"port_password": {"20000": "secret", "20001": "secret"}}`)
	return p
}

func (p *place) configure(content string) {
	p.t.Helper()
	if err := os.WriteFile(p.config, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// setup runs setup and returns what it writes.
func (p *place) setup(more ...string) string {
	p.t.Helper()
	arguments := append([]string{"ssmonitor", "setup", "--no-search", "--shadowsocks", p.config, "--list", p.list}, more...)
	var output bytes.Buffer
	if status := execute(context.Background(), arguments, &output, &output); status != exitDone {
		p.t.Fatalf("setup ended with %d:\n%s", status, &output)
	}
	return output.String()
}

// programOf prepares a process of the program.
func programOf(arguments ...string) *exec.Cmd {
	// This link lets users run the binary who may not enter its directory.
	command := exec.Command("/proc/self/exe", arguments...)
	command.Args[0], command.Dir = "ssmonitor", "/"
	command.Env = os.Environ()
	return command
}

// kill ends a process for certain, so that it writes nothing where the test removes its
// files. It may have ended.
func kill(command *exec.Cmd) {
	_ = command.Process.Kill()
	_ = command.Wait()
}

// agentProcess is an agent that runs, confined as every agent is.
type agentProcess struct {
	*exec.Cmd
	t   *testing.T
	log testkit.Log
}

// start starts an agent and waits until it counts.
func (p *place) start(arguments ...string) *agentProcess {
	p.t.Helper()
	a := &agentProcess{Cmd: programOf(append([]string{"run", "--state", p.state, "--interval", "100ms"}, arguments...)...), t: p.t}
	a.Stderr = &a.log
	if err := a.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { kill(a.Cmd) })
	a.logs("msg=counting", 1)
	return a
}

// agent starts the agent of the place, and waits for its first CSV file. The end of the test
// stops it.
func (p *place) agent(socket string, more ...string) {
	p.t.Helper()
	a := p.start(append([]string{"--list", p.list, "--socket", socket, "--csv", p.csv}, more...)...)
	p.t.Cleanup(a.stop)
	p.awaitCSV()
}

func (p *place) awaitCSV() {
	p.t.Helper()
	testkit.Eventually(p.t, 20*time.Second, func() error { _, err := os.Stat(p.csv); return err })
}

// logs waits until the log has the text that many times.
func (a *agentProcess) logs(text string, times int) {
	a.t.Helper()
	testkit.Eventually(a.t, 20*time.Second, func() error {
		if got := strings.Count(a.log.String(), text); got != times {
			return fmt.Errorf("the log has %q %d times, want %d:\n%s", text, got, times, a.log.String())
		}
		return nil
	})
}

func (a *agentProcess) stop() {
	a.t.Helper()
	_ = a.Process.Signal(syscall.SIGTERM)
	if err := a.Wait(); err != nil {
		a.t.Errorf("the agent ended with %v\n%s", err, a.log.String())
	}
}

// table opens the table until the test ends.
func (p *place) table() *nft.Table {
	p.t.Helper()
	table, err := nft.Open(nft.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = table.Close() })
	return table
}

func (p *place) checkArguments(socket string) []string {
	return []string{"check", "--no-search", "--shadowsocks", p.config, "--list", p.list, "--state", p.state, "--socket", socket, "--csv", p.csv}
}

// wantCheck runs check with more arguments and compares its exit status. Each of
// the parts has to be in its output, and stderr has to stay empty.
func (p *place) wantCheck(socket string, status int, parts []string, more ...string) string {
	p.t.Helper()
	got, stdout, stderr := call(p.t, append(p.checkArguments(socket), more...)...)
	if got != status || stderr != "" {
		p.t.Errorf("got status %d and %q on stderr, want %d and nothing:\n%s", got, stderr, status, stdout)
	}
	wantParts(p.t, stdout, parts...)
	return stdout
}

func wantParts(t *testing.T, output string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(output, part) {
			t.Errorf("%q is not in\n%s", part, output)
		}
	}
	if strings.Contains(output, "secret") {
		t.Errorf("a password is in\n%s", output)
	}
}

func wantNoPart(t *testing.T, output, part string) {
	t.Helper()
	if strings.Contains(output, part) {
		t.Errorf("%q is in\n%s", part, output)
	}
}
