package main

import (
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestRunMarksPublishedPorts has a port that was published before the agent starts. It is counted where it is forwarded from the first
// moment, unless all ports are counted before that.
func TestRunMarksPublishedPorts(t *testing.T) {
	const rule = "port 20000: published by chain ip engine prerouting"
	for _, test := range []struct {
		name      string
		arguments string
		chains    int // at forward
		said      int // the rule, in the log
		check     string
		found     string // by check, of the rule
	}{
		{"a port", "--port 20000", 4, 1, "--list NONE", "ok     "},
		{"a port and the list", "--port 20000 --list LIST", 4, 1, "", ""},
		{"the list alone", "--list LIST", 4, 1, "--list LIST", "ok     "},
		{"a configuration", "--shadowsocks CONFIG", 4, 1, "--list NONE", "ok     "},
		{"a configuration of a server", "--server-config CONFIG", 4, 1, "", ""},
		{"hook container", "--port 20000 --hook container", 0, 0, "--list NONE --hook container", "ok     "},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			testkit.NFT(t, `table ip engine {
				chain prerouting {
					type nat hook prerouting priority dstnat; fib daddr type local tcp dport 20000 dnat to 172.30.0.2:8388
				}
			}`)
			testkit.WriteFile(t, p.list, "20000\n")
			words := func(text string) []string {
				return strings.Fields(strings.NewReplacer("CONFIG", p.config, "LIST", p.list, "NONE", p.list+".none").Replace(text))
			}
			agent := p.start(append([]string{"--socket", p.socket, "--csv", p.csv}, words(test.arguments)...)...)
			p.awaitCSV()
			ruleset := testkit.NFT(t, "list table inet ssmonitor")
			if test.check != "" {
				_, findings, _ := call(t, append([]string{"check", "--no-search", "--state", p.state, "--socket", p.socket, "--csv", p.csv}, words(test.check)...)...)
				wantParts(t, findings, "ok      table inet ssmonitor counts", test.found+" port 20000: published by chain ip engine prerouting to 172.30.0.2:8388")
			}
			agent.stop()
			if chains := strings.Count(ruleset, "hook forward"); chains != test.chains {
				t.Errorf("%d chains at forward, want %d in\n%s", chains, test.chains, ruleset)
			}
			if said := strings.Count(agent.log.String(), rule); said != test.said || strings.Contains(agent.log.String(), "applied the list") {
				t.Errorf("want the rule %d times in a log of one list:\n%s", test.said, agent.log.String())
			}
		})
	}
}
