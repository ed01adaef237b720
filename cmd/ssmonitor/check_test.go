package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// healthy is the exit status of a check that finds nothing wrong. It depends on
// the host: rules of iptables-legacy can't be checked.
func healthy(t *testing.T) int {
	t.Helper()
	for _, file := range []string{"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"} {
		if names, err := os.ReadFile(file); err == nil && (bytes.Contains(names, []byte("nat")) || bytes.Contains(names, []byte("filter"))) {
			return exitUnknown
		}
	}
	return exitDone
}

func TestCheckOfAHealthyAgent(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent("")
	status := healthy(t)
	p.wantCheck("", status, []string{
		"ok      the kernel has nf_tables", "ok      the kernel has maps from ports",
		"ok      the agent is running: process",
		"ok      configuration " + p.config + ": ss-manager or shadowsocks-python (by port_password): ports 20000-20001",
		"ok      list of ports " + p.list,
		"ok      table inet ssmonitor counts 2 ports at hook host",
		"ok      CSV file " + p.csv,
		"\nNothing wrong was found",
	})
	if quiet := p.wantCheck("", status, nil, "--quiet"); status == exitDone && quiet != "" {
		t.Errorf("--quiet printed\n%s", quiet)
	}
	if status == exitDone {
		p.wantCheck("", status, []string{"SSMONITOR OK - ", " | wrong=0 unknown=0 "}, "--nagios")
	}
	var document struct {
		Result   string
		Findings []struct{ ID, Level string }
	}
	if err := json.Unmarshal([]byte(p.wantCheck("", status, nil, "--json")), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Findings) < 7 || document.Findings[0].ID != "kernel-nf-tables" || document.Findings[0].Level != "ok" || document.Result == "wrong" {
		t.Errorf("--json printed %+v", document)
	}
}

func TestCheckOfARunningAgent(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket)
	p.configure(`{"port_password": {"20000": "secret", "20001": "secret", "20002": "secret"}}`)
	p.wantCheck(p.socket, exitFailed, []string{
		"ok      the agent answers on " + p.socket + ": 2 ports, last read ",
		"WRONG   configured, but not in the list " + p.list + ": port 20002\n          update it: ssmonitor setup",
	})
}

func TestCheckBeforeSetup(t *testing.T) {
	p := newPlace(t)
	p.wantCheck(p.socket, exitFailed, []string{
		"WRONG   no agent is running",
		"WRONG   there is no list of ports " + p.list + ": the agent has nothing to count\n          write it: ssmonitor setup",
		"WRONG   table inet ssmonitor: the table does not exist\n          install it: ssmonitor setup",
	})
	quiet := p.wantCheck(p.socket, exitFailed, []string{"WRONG   no agent is running"}, "--quiet")
	if strings.Contains(quiet, "ok  ") || strings.Contains(quiet, "note ") || strings.Contains(quiet, "things are wrong") {
		t.Errorf("--quiet printed\n%s", quiet)
	}
	nagios := p.wantCheck(p.socket, exitNagiosCritical, []string{"SSMONITOR CRITICAL - no agent is running", "more problem"}, "--nagios")
	if strings.Count(nagios, "\n") != 1 {
		t.Errorf("--nagios printed more than a line:\n%s", nagios)
	}
	if document := p.wantCheck(p.socket, exitFailed, []string{`"result": "wrong"`, `"id": "port-list"`}, "--json", "--quiet"); strings.Contains(document, `"level": "ok"`) {
		t.Errorf("--json --quiet printed\n%s", document)
	}
}

// TestCheckOfTheRuleset has rules of others of each kind, and a table that lost a rule.
func TestCheckOfTheRuleset(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.nft(`flush chain inet ssmonitor input
		table ip nat {
			chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
			chain DOCKER { iifname != "docker0" tcp dport 20001 dnat to 172.17.0.2:8388; }
		}
		table ip odd { chain c { type nat hook prerouting priority dstnat; tcp dport 20000 dnat ip prefix to ip saddr map { 10.0.0.0/24 : 10.0.1.0/24 }; }; }
		table ip filter { chain INPUT { type filter hook input priority filter; tcp dport 20000 counter; udp dport 20001 counter; }; }
		table inet late { chain c { type filter hook input priority security; policy drop; }; }`)
	output := p.wantCheck(p.socket, exitFailed, []string{
		"WRONG   table inet ssmonitor: chain input has lost 1 rule", "; chain forward-ip-in is missing", "\n          install it: ssmonitor setup",
		"WRONG   port 20001: published by chain ip nat DOCKER to 172.17.0.2:8388, where it is not counted\n" +
			"          the agent counts it within seconds, if it runs: systemctl enable --now ssmonitor\n",
		"unknown port 20000: chain ip odd c may publish it in a way that is not understood (", "hook: container",
		"note    chain inet late c may drop packets after they were counted",
		"note    chain ip filter INPUT has 2 rules that only count a port", "README",
	})
	if wrong := strings.Count(output, "WRONG"); wrong != 3 { // no agent is running
		t.Errorf("got %d wrong findings, want 3:\n%s", wrong, output)
	}
	p.nft("delete table inet ssmonitor; add table inet ssmonitor")
	p.wantCheck(p.socket, exitFailed, []string{"WRONG   table inet ssmonitor was made by somebody else", "nft list table inet ssmonitor"})
}

// checkAsNobody runs the program as user nobody.
func (p *place) checkAsNobody(arguments ...string) (output string, status int) {
	p.t.Helper()
	command := p.program(arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	text, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		p.t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

// TestCheckWithoutRights expects unknown findings and no failure when a user
// without rights runs check.
func TestCheckWithoutRights(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket)
	output, status := p.checkAsNobody(p.checkArguments(p.socket)...)
	if status != exitUnknown {
		t.Errorf("got status %d, want %d:\n%s", status, exitUnknown, output)
	}
	wantParts(t, output,
		"unknown the kernel, its counters and the firewall can't be checked: CAP_NET_ADMIN is missing (operation not permitted)\n          run it as root: sudo ssmonitor check",
		"unknown the agent on "+p.socket+" can't be asked",
		"unknown reading a Shadowsocks configuration: open "+p.config+": permission denied",
		"ok      list of ports "+p.list,
		"ok      CSV file "+p.csv,
		"Nothing wrong was found", "could not be checked")

	output, status = p.checkAsNobody(append(p.checkArguments(p.socket), "--nagios")...)
	if status != exitUnknown {
		t.Errorf("--nagios: got status %d, want %d:\n%s", status, exitUnknown, output)
	}
	wantParts(t, output, "SSMONITOR UNKNOWN - the kernel")
}

// TestCheckOfSettings expects mistakes in the settings to be findings of a check
// that continues with the flags.
func TestCheckOfSettings(t *testing.T) {
	for _, test := range []struct {
		name, settings string
		mode           os.FileMode
		nobody         bool
		want           []string
	}{
		{"unknown key", "hooks: host\n", 0o644, false, []string{"WRONG   reading the settings", "line 1, column 1: ", "this check uses defaults"}},
		{"not readable", "hook: host\n", 0o600, true, []string{"unknown reading the settings", "permission denied\n          run it as root"}},
		{"right", "hook: container\n", 0o644, false, []string{"at hook container"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.setup("--hook", "container")
			config := filepath.Join(p.directory, "config.yaml")
			if err := os.WriteFile(config, []byte(test.settings), test.mode); err != nil {
				t.Fatal(err)
			}
			arguments := append(p.checkArguments(p.socket), "--config", config)
			var output string
			if test.nobody {
				output, _ = p.checkAsNobody(arguments...)
			} else {
				_, output, _ = call(t, arguments...)
			}
			wantParts(t, output, append(test.want, "list of ports "+p.list)...)
		})
	}
}

func TestCheckUsage(t *testing.T) {
	for _, test := range []struct{ name, want string }{ // the name is the command line
		{"check something", `"something" is not expected here`},
		{"check --hook nosuch", `hook "nosuch": want host or container`},
		{"check --port 80a", `80a`},
		{"check --nosuch", "see ssmonitor check --help"},
		{"check --json --nagios", "exclude each other"},
		{"check --config /nosuch/config.yaml", "/nosuch/config.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := call(t, strings.Fields(test.name)...)
			if status != exitUsage || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("got status %d, %q on stdout and %q on stderr, want %d and %q", status, stdout, stderr, exitUsage, test.want)
			}
		})
	}
	status, help, _ := call(t, "check", "--help")
	if status != exitDone {
		t.Errorf("--help ended with %d", status)
	}
	wantParts(t, help, "unknown  could not be checked", "Exit status: 0", "sudo ssmonitor check", "--csv FILE", "--json", "--quiet", "--nagios")
}

// TestCheckLooksWhereTheAgentWrites has systemd's variable, as run in a unit.
func TestCheckLooksWhereTheAgentWrites(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "/run/first:/run/second")
	for _, command := range []string{"run", "check"} {
		_, help, _ := call(t, command, "--help")
		wantParts(t, help, "/run/first/ssmonitor.sock", "/run/first/ssmonitor.csv")
	}
	if _, help, _ := call(t, "netdata", "--help"); strings.Contains(help, "/run/first") {
		t.Errorf("the plugin takes Netdata's own directory:\n%s", help)
	}
}

// TestCheckFailsOnce expects one line for an output that can't be written.
func TestCheckFailsOnce(t *testing.T) {
	p := newPlace(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	for _, form := range []string{"", "--quiet", "--json", "--nagios"} {
		arguments := append([]string{"ssmonitor"}, p.checkArguments(p.socket)...)
		if form != "" {
			arguments = append(arguments, form)
		}
		var stderr bytes.Buffer
		status := execute(t.Context(), arguments, full, &stderr)
		if status != exitFailed || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: got status %d and %q on stderr, want %d and one line", form, status, &stderr, exitFailed)
		}
	}
}
