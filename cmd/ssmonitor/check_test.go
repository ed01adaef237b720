package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// healthy reports whether a check can find nothing unknown. That depends on the host: rules
// of iptables-legacy can't be checked.
func healthy() bool {
	for _, file := range []string{"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"} {
		if names, err := os.ReadFile(file); err == nil && (bytes.Contains(names, []byte("nat")) || bytes.Contains(names, []byte("filter"))) {
			return false
		}
	}
	return true
}

// TestCheckJudgesTheCSVFileByTheSettings has an agent that can't be asked and writes once
// per minute.
func TestCheckJudgesTheCSVFileByTheSettings(t *testing.T) {
	p := newPlace(t)
	testkit.WriteFile(t, p.csv, "")
	written := time.Now().Add(-20 * time.Second)
	if err := os.Chtimes(p.csv, written, written); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(p.directory, "settings.yaml")
	for interval, want := range map[string]string{"1m": "ok      CSV file ", "5s": "WRONG   the CSV file "} {
		testkit.WriteFile(t, file, "interval: "+interval+"\n")
		p.wantCheck(p.socket, exitFailed, []string{want + p.csv + " is 2"}, "--config", file)
	}
}

// TestCheckOfTheRuleset has rules of others of each kind, and a table that lost a rule.
func TestCheckOfTheRuleset(t *testing.T) {
	p := newPlace(t)
	p.setup()
	testkit.NFT(t, `flush chain inet ssmonitor input
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
	testkit.NFT(t, "delete table inet ssmonitor; add table inet ssmonitor")
	p.wantCheck(p.socket, exitFailed, []string{"WRONG   table inet ssmonitor was made by somebody else", "nft list table inet ssmonitor"})
}
