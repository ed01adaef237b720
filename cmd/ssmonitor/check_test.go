package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// argumentsVariable makes the test binary the program: see TestProgram.
const argumentsVariable = "SSMONITOR_TEST_ARGUMENTS"

// TestProgram is not a test of its own: the others start it as the program.
func TestProgram(*testing.T) {
	arguments := os.Getenv(argumentsVariable)
	if arguments == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, strings.Split(arguments, "\n"), os.Stdout, os.Stderr))
}

// place is a network namespace and the files of an agent in it.
type place struct {
	t                                *testing.T
	directory                        string
	config, list, state, socket, csv string
}

// newPlace moves the test into a network namespace of its own. The thread is
// never unlocked, so that it ends with the test and the namespace with it.
func newPlace(t *testing.T) *place {
	t.Helper()
	if os.Getuid() != 0 {
		lack(t, "a network namespace needs root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		lack(t, "making a network namespace: "+err.Error())
	}
	// Not t.TempDir(), whose paths are too long for a socket.
	directory, err := os.MkdirTemp("", "check")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(directory, name) }
	p := &place{t, directory, in("config.json"), in("ports"), in("state"), in("private/socket"), in("ssmonitor.csv")}
	if err := os.Mkdir(in("private"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.configure(`{"port_password": {"20000": "secret", "20001": "secret"}}`)
	return p
}

func lack(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

func (p *place) configure(content string) {
	p.t.Helper()
	if err := os.WriteFile(p.config, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) nft(script string) {
	p.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		lack(p.t, "nft is missing: apt-get install nftables")
	}
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	if output, err := command.CombinedOutput(); err != nil {
		p.t.Fatalf("nft: %v\n%s\n%s", err, script, output)
	}
}

func (p *place) setup() {
	p.t.Helper()
	arguments := []string{"ssmonitor", "setup", "--no-search", "--shadowsocks", p.config, "--ports", p.list}
	var output bytes.Buffer
	if status := execute(context.Background(), arguments, &output, &output); status != exitDone {
		p.t.Fatalf("setup ended with %d:\n%s", status, &output)
	}
}

// program prepares the program as a process of its own in the namespace.
func (p *place) program(arguments ...string) *exec.Cmd {
	// The link leads a user to the binary who could not reach its directory.
	command := exec.Command("/proc/self/exe", "-test.run", "^TestProgram$")
	command.Env = append(os.Environ(), argumentsVariable+"="+strings.Join(append([]string{"ssmonitor"}, arguments...), "\n"))
	command.Dir = "/"
	return command
}

// agent starts the agent and waits until it has published.
func (p *place) agent(socket string) {
	p.t.Helper()
	command := p.program("run", "--ports", p.list, "--state", p.state, "--socket", socket, "--csv", p.csv, "--interval", "100ms")
	var log bytes.Buffer
	command.Stderr = &log
	if err := command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			p.t.Errorf("the agent: %v\n%s", err, &log)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(p.csv); err == nil {
			return
		}
	}
	p.t.Fatal("the agent has written no CSV file within 20 s")
}

func (p *place) checkArguments(socket string) []string {
	return []string{"check", "--shadowsocks", p.config, "--ports", p.list, "--state", p.state, "--socket", socket, "--csv", p.csv}
}

// wantCheck checks and compares the status, and that each of the parts is in
// one line and the line behind it of what is printed.
func (p *place) wantCheck(socket string, status int, parts ...string) string {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	got := execute(context.Background(), append([]string{"ssmonitor"}, p.checkArguments(socket)...), &stdout, &stderr)
	if got != status {
		p.t.Errorf("ended with %d, want %d:\n%s%s", got, status, &stdout, &stderr)
	}
	wantParts(p.t, stdout.String(), parts...)
	return stdout.String()
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

func TestCheckFindsAllRight(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent("")
	p.wantCheck("", exitDone,
		"ok      CAP_NET_ADMIN is there", "ok      the kernel has references",
		"ok      the agent is running: process",
		"ok      configuration "+p.config+" (port_password): ports 20000-20001",
		"ok      list of ports "+p.list,
		"ok      table inet ssmonitor counts 2 ports at the hook host",
		"ok      CSV file "+p.csv,
		"Nothing that was seen is wrong")
}

func TestCheckOfARunningAgent(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket)
	p.configure(`{"port_password": {"20000": "secret", "20001": "secret", "20002": "secret"}}`)
	p.wantCheck(p.socket, exitFailed,
		"ok      the agent answers on "+p.socket+": 2 ports, last read 0",
		"WRONG   configured, but not in the list "+p.list+": port 20002\n          take them over: ssmonitor setup")
	p.wantCheck(p.socket+"x", exitFailed, "gives no answer on", "name the socket that it listens on with --socket")
}

func TestCheckBeforeSetup(t *testing.T) {
	p := newPlace(t)
	p.wantCheck(p.socket, exitFailed,
		"WRONG   no agent is running",
		"WRONG   there is no list of ports "+p.list+": the agent has nothing to count\n          write it: ssmonitor setup",
		"WRONG   table inet ssmonitor: the table is gone\n          install it: ssmonitor setup")
}

func TestCheckOfTheRuleset(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		hook   string
		want   []string
	}{
		"a published port": {
			`table ip nat {
				chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
				chain DOCKER { iifname != "docker0" tcp dport 20001 dnat to 172.17.0.2:8388; }
			}`, "host",
			[]string{"WRONG   port 20001: sent on to 172.17.0.2:8388 in ip nat DOCKER, before the hook host could count\n" +
				`          count where containers are published: write "hook: container"`},
		},
		"a published port, hook container": {
			`table ip nat { chain PREROUTING { type nat hook prerouting priority dstnat; udp dport 20000-30000 dnat to 172.17.0.2; }; }`, "container",
			[]string{"ok      ports 20000-20001: sent on to 172.17.0.2 in ip nat PREROUTING, and counted before"},
		},
		"another port of this host": {
			`table inet nat { chain PREROUTING { type nat hook prerouting priority dstnat; udp dport 20001 redirect to :8388; }; }`, "host",
			[]string{"WRONG   port 20001: sent on to port 8388 in inet nat PREROUTING"},
		},
		"to where it went anyway": {
			`table ip nat { chain PREROUTING { type nat hook prerouting priority dstnat; tcp dport 20001 dnat to 127.0.0.1:20001; tcp dport 443 redirect to :20001; }; }`, "host",
			[]string{"ok      table inet ssmonitor counts 2 ports"},
		},
		"rules that count too": {
			`table ip filter {
				chain INPUT { type filter hook input priority filter; tcp dport 20000 counter; tcp dport 20001 counter; }
				chain OUTPUT { type filter hook output priority filter; tcp sport 20000 counter; }
			}`, "host",
			[]string{"note    chain ip filter INPUT has rules that only count a port, 2 of them", "note    chain ip filter OUTPUT", "README"},
		},
		"a late filter": {
			`table inet late { chain c { type filter hook input priority security; policy drop; }; }`, "host",
			[]string{"note    chain inet late c may drop packets after they were counted"},
		},
		"a lost rule": {
			`flush chain inet ssmonitor input`, "host",
			[]string{"WRONG   table inet ssmonitor: chain input has lost its rule\n          install it: ssmonitor setup"},
		},
		"another's table": {
			`delete table inet ssmonitor; add table inet ssmonitor`, "host",
			[]string{"WRONG   table inet ssmonitor was made by somebody else", "nft list table inet ssmonitor"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			t.Setenv("SSMONITOR_HOOK", test.hook)
			p.setup()
			p.nft(test.script)
			output := p.wantCheck(p.socket, exitFailed, test.want...)
			wrong := strings.Count(output, "WRONG") - 1 // no agent is running
			if wantWrong := strings.Count(strings.Join(test.want, "\n"), "WRONG"); wrong != wantWrong {
				t.Errorf("%d more things are wrong than that no agent is running, want %d:\n%s", wrong, wantWrong, output)
			}
		})
	}
}

// TestCheckWithoutRights runs it as nobody: what can't be seen is said, and is
// no failure.
func TestCheckWithoutRights(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket)
	check := func(arguments ...string) (string, int) {
		command := p.program(arguments...)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		var stdout, stderr bytes.Buffer
		command.Stdout, command.Stderr = &stdout, &stderr
		if err := command.Run(); err != nil && command.ProcessState == nil {
			t.Fatal(err)
		}
		return stdout.String() + stderr.String(), command.ProcessState.ExitCode()
	}
	output, status := check(p.checkArguments(p.socket)...)
	if status != exitDone {
		t.Errorf("ended with %d:\n%s", status, output)
	}
	wantParts(t, output,
		"unseen  the kernel, its counters and the firewall: CAP_NET_ADMIN is missing\n          run it as root: sudo ssmonitor check",
		"unseen  whether the agent answers on "+p.socket,
		"unseen  reading a Shadowsocks configuration: open "+p.config+": permission denied",
		"ok      list of ports "+p.list,
		"ok      CSV file "+p.csv,
		"Nothing that was seen is wrong", "could not be seen")

	output, _ = check("check", "--ports", p.list, "--state", p.state, "--socket", "", "--csv", "")
	wantParts(t, output, "unseen  configurations in directories that only root may look into",
		"unseen  whether an agent is running")
}

func TestCheckUsage(t *testing.T) {
	for arguments, want := range map[string]string{
		"check something":     `"something" is not expected here`,
		"check --hook nosuch": `hook "nosuch" is unknown`,
		"check --port 80a":    `80a`,
		"check --nosuch":      "see ssmonitor check --help",
	} {
		var stdout, stderr bytes.Buffer
		status := execute(context.Background(), append([]string{"ssmonitor"}, strings.Fields(arguments)...), &stdout, &stderr)
		if status != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: ended with %d and said %s", arguments, status, &stderr)
		}
	}
	var help bytes.Buffer
	if status := execute(context.Background(), []string{"ssmonitor", "check", "--help"}, &help, &help); status != exitDone {
		t.Errorf("--help ended with %d", status)
	}
	wantParts(t, help.String(), "unseen   could not be looked at", "Exit status: 0", "sudo ssmonitor check", "--csv FILE")
}
