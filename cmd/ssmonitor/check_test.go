package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

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

func TestCheckOfTheRuleset(t *testing.T) {
	for _, test := range []struct {
		name   string
		hook   string
		script string
		want   []string
	}{
		{
			"published port", "host",
			`table ip nat {
				chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
				chain DOCKER { iifname != "docker0" tcp dport 20001 dnat to 172.17.0.2:8388; }
			}`,
			[]string{"WRONG   table inet ssmonitor: chain forward-ip-in is missing", "WRONG   port 20001: published by chain ip nat DOCKER to 172.17.0.2:8388, where it is not counted\n" +
				"          the agent counts it within seconds, if it runs: systemctl enable --now ssmonitor\n"},
		},
		{
			"published port, hook container", "container",
			`table ip nat { chain PREROUTING { type nat hook prerouting priority dstnat; udp dport 20000-30000 dnat to 172.17.0.2; }; }`,
			[]string{"ok      ports 20000-20001: published by chain ip nat PREROUTING to 172.17.0.2, after being counted"},
		},
		{
			"another port of this host", "host",
			`table inet nat { chain PREROUTING { type nat hook prerouting priority dstnat; udp dport 20001 redirect to :8388; }; }`,
			[]string{"WRONG   port 20001: redirected to port 8388 by chain inet nat PREROUTING"},
		},
		{
			"to where it went anyway", "host",
			`table ip nat { chain PREROUTING { type nat hook prerouting priority dstnat; tcp dport 20001 dnat to 127.0.0.1:20001; tcp dport 443 redirect to :20001; }; }`,
			[]string{"ok      table inet ssmonitor counts 2 ports"},
		},
		{
			"rules that count too", "host",
			`table ip filter {
				chain INPUT { type filter hook input priority filter; tcp dport 20000 counter; udp dport 20001 counter; }
				chain OUTPUT { type filter hook output priority filter; udp sport 20000 counter; }
				chain FORWARD { type filter hook forward priority filter; udp dport 20000 counter; tcp sport 20000 counter; }
			}`,
			[]string{"note    chain ip filter INPUT has 2 rules that only count a port", "note    chain ip filter OUTPUT has 1 rule that only counts a port",
				"note    chain ip filter FORWARD has 2 rules", "README"},
		},
		{
			"chain that drops later", "host",
			`table inet late { chain c { type filter hook input priority security; policy drop; }; }`,
			[]string{"note    chain inet late c may drop packets after they were counted"},
		},
		{
			"lost rule", "host",
			`flush chain inet ssmonitor input`,
			[]string{"WRONG   table inet ssmonitor: chain input has lost 1 rule\n          install it: ssmonitor setup"},
		},
		{
			"foreign table", "host",
			`delete table inet ssmonitor; add table inet ssmonitor`,
			[]string{"WRONG   table inet ssmonitor was made by somebody else", "nft list table inet ssmonitor"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			t.Setenv("SSMONITOR_HOOK", test.hook)
			p.setup()
			testkit.NFT(t, test.script)
			output := p.wantCheck(p.socket, exitFailed, test.want)
			wrong := strings.Count(output, "WRONG") - 1 // no agent is running
			if want := strings.Count(strings.Join(test.want, "\n"), "WRONG"); wrong != want {
				t.Errorf("besides the missing agent: got %d wrong findings, want %d:\n%s", wrong, want, output)
			}
		})
	}
}
