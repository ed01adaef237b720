package endtoend_test

import (
	"fmt"
	"testing"
)

// TestOnlyWhatTheFirewallLetsInIsCounted puts a firewall before the counters
// and reloads it after them, since the order of chains with equal priority
// depends on the order in which they were loaded.
func TestOnlyWhatTheFirewallLetsInIsCounted(t *testing.T) {
	t.Parallel()
	const open, closed, datagrams = 20000, 20001, 50
	tests := []struct{ name, firewall string }{
		{"policy drop at filter", `
			table inet firewall {
				counter refused { }
				chain input {
					type filter hook input priority filter; policy drop;
					udp dport 20000 accept
					counter name refused
				}
			}`},
		{"drop at filter + 10, where firewalld sits", `
			table inet firewall {
				counter refused { }
				chain input {
					type filter hook input priority filter + 10; policy accept;
					udp dport 20001 counter name refused drop
				}
			}`},
		{"drop before routing", `
			table inet firewall {
				counter refused { }
				chain prerouting {
					type filter hook prerouting priority raw; policy accept;
					udp dport 20001 counter name refused drop
				}
			}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, client := newServerAndClient(t)
			server.nft(t, test.firewall)
			server.setup(t, "--port", "20000-20001")
			for round := 1; round <= 2; round++ {
				for _, port := range []int{open, closed} {
					client.send(t, sending{to: fmt.Sprintf("%s:%d", serverIPv4, port), count: datagrams, size: 100})
				}
				if got := server.packets(t, "udp-20000-in"); got != round*datagrams {
					t.Errorf("round %d: open port: got %d packets, want %d", round, got, round*datagrams)
				}
				if got := server.packets(t, "udp-20001-in"); got != 0 {
					t.Errorf("round %d: closed port: got %d packets, want 0", round, got)
				}
				if got := server.packetsRefused(t); got != datagrams {
					t.Errorf("round %d: the firewall refused %d packets, want %d", round, got, datagrams)
				}
				server.nft(t, "delete table inet firewall\n"+test.firewall)
			}
		})
	}
}

// TestOnlyWhatTheFirewallLetsOutIsCounted does the same for what a port sends.
func TestOnlyWhatTheFirewallLetsOutIsCounted(t *testing.T) {
	t.Parallel()
	const datagrams = 50
	server, _ := newServerAndClient(t)
	server.setup(t, "--port", "20000-20001")
	server.nft(t, `
		table inet firewall {
			counter refused { }
			chain output {
				type filter hook output priority filter + 10; policy accept;
				udp sport 20001 counter name refused drop
			}
		}`)
	for _, port := range []struct{ number, taken int }{{20000, datagrams}, {20001, 0}} {
		taken := server.send(t, sending{
			from: fmt.Sprintf("%s:%d", serverIPv4, port.number), to: clientIPv4 + ":9",
			count: datagrams, size: 100,
		})
		if taken != port.taken {
			t.Errorf("the kernel took %d datagrams of port %d, want %d", taken, port.number, port.taken)
		}
		if got := server.packets(t, fmt.Sprintf("udp-%d-out", port.number)); got != port.taken {
			t.Errorf("%d packets out of port %d are counted, want %d", got, port.number, port.taken)
		}
	}
	if got := server.packetsRefused(t); got != datagrams {
		t.Errorf("the firewall refused %d packets, want %d", got, datagrams)
	}
}

// packetsRefused returns the value of the counter in the test's firewall.
func (n namespace) packetsRefused(t *testing.T) int {
	t.Helper()
	return int(n.countersOf(t, "firewall")["refused"].Packets)
}
