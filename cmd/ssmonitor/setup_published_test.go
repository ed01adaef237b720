package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestSetupNotesAnotherNumber has a container with the port of a configuration, which an
// engine publishes as another one. Setup notes it at once.
func TestSetupNotesAnotherNumber(t *testing.T) {
	p := newPlace(t)
	p.configure(`{"server": "0.0.0.0", "server_port": 8388, "password": "secret", "method": "aes-256-gcm", "mode": "tcp_and_udp"}`)
	p.nft(`table ip nat {
		chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
		chain DOCKER { iifname != "docker0" meta l4proto { tcp, udp } th dport 18388 dnat to 172.17.0.2:8388; }
	}`)
	const note = "port 8388: chain ip nat DOCKER publishes it as port 18388: what clients send there, to 172.17.0.2:8388, is not counted: "
	const remedy = `add "18388" to the list "port" in /etc/ssmonitor/config.yaml, then ssmonitor setup`
	arguments := []string{"setup", "--no-search", "--shadowsocks", p.config, "--ports", p.list}
	for _, test := range []struct {
		flags  string
		status int
	}{{"--dry-run", exitDone}, {"--json", exitDone}, {"--hook container", exitDone}, {"", exitDone}} {
		status, stdout, stderr := call(t, append(arguments, strings.Fields(test.flags)...)...)
		if status != test.status || strings.Count(stderr, "note: "+note) != 1 || !strings.Contains(stderr, remedy) {
			t.Errorf("setup %s: status %d\n%s%s", test.flags, status, stdout, stderr)
		}
		if test.flags == "--json" && strings.Count(stdout, note) != 1 {
			t.Errorf("the notes are not in\n%s", stdout)
		}
	}

	p.wantCheck(p.socket, exitFailed, []string{"WRONG   " + strings.TrimSuffix(note, ": ") + "\n          count it as port 8388: ", "\n          or as port 18388: " + remedy})
}

// TestSetupAfterATargetWasGivenAway has a container that is published as a port that is
// counted, and then as another one. What setup installs is what check wants.
func TestSetupAfterATargetWasGivenAway(t *testing.T) {
	p := newPlace(t)
	if output, err := exec.Command("ip", "address", "add", "192.0.2.7/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for _, port := range []string{"20000", "30000", "20001"} {
		p.nft("flush ruleset ip; table ip nat { chain c { type nat hook prerouting priority dstnat; fib daddr type local tcp dport " + port + " dnat to 172.17.0.2:8388; }; }")
		p.setup()
		_, output, _ := call(t, p.checkArguments("")...)
		wantParts(t, output, "ok      table inet ssmonitor counts 2 ports at hook host")
	}
}
