package nft

import (
	"errors"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// published returns ports of which the first is published.
func published(count int) accounting.Ports {
	ports := portList(count)
	ports[0].Published = true
	return ports
}

func TestPublishedPortsAddTheForwardChains(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	for _, step := range []struct {
		name   string
		ports  accounting.Ports
		chains int
	}{
		{"none", portList(2), 2},
		{"one", published(2), 6},
		{"one, and a port more", published(3), 6},
		{"none again", portList(3), 2},
		{"one again", published(3), 6},
	} {
		sendUDP(t, "127.0.0.1:20001", 3, 10)
		before := read(t, table)
		if findings, err := table.Verify(step.ports); err != nil || len(findings) == 0 {
			t.Fatalf("%s: before Install, Verify found %q, %v", step.name, findings, err)
		}
		install(t, table, step.ports)
		verifyNothing(t, table, step.ports)
		verifyNothing(t, open(t, Options{}), step.ports)
		if got := strings.Count(nftCommand(t, "list table inet ssmonitor"), "chain "); got != step.chains {
			t.Errorf("%s: the table has %d chains, want %d", step.name, got, step.chains)
		}
		after := read(t, table)
		for key, reading := range before {
			if after[key] != reading {
				t.Errorf("%s: %s: got %+v, want %+v as before", step.name, key, after[key], reading)
			}
		}
	}
	// An agent that starts knows no ports at first.
	if findings, err := open(t, Options{}).Verify(nil); err != nil || len(findings) > 0 {
		t.Errorf("without ports, Verify found %q, %v", findings, err)
	}
	// Where the run is forced to the container's hook, nothing is forwarded.
	container := open(t, Options{Hook: HookContainer})
	install(t, container, published(3))
	if listing := nftCommand(t, "list table inet ssmonitor"); strings.Contains(listing, "forward") {
		t.Errorf("hook container has\n%s", listing)
	}
}

func verifyNothing(t *testing.T, table *Table, ports accounting.Ports) {
	t.Helper()
	if findings, err := table.Verify(ports); err != nil || len(findings) > 0 {
		t.Fatalf("Verify found %q, %v", findings, err)
	}
}

// A chain for published ports that others change is repaired, and what the table
// lists loads again and is listed as it was.
func TestForwardChainsAreRepairedAndReloaded(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, published(2))
	listing := nftCommand(t, "list table inet ssmonitor")
	for _, broken := range []string{
		"flush chain inet ssmonitor forward-tcp-in",
		"delete chain inet ssmonitor forward-udp-out",
		"add rule inet ssmonitor forward-udp-in accept",
	} {
		nftCommand(t, broken)
		if findings, err := table.Verify(published(2)); err != nil || len(findings) == 0 {
			// Verify relies on the generation of the last reading.
			read(t, table)
			if findings, err = table.Verify(published(2)); err != nil || len(findings) == 0 {
				t.Fatalf("%s: Verify found %q, %v", broken, findings, err)
			}
		}
		install(t, table, published(2))
		verifyNothing(t, open(t, Options{}), published(2))
	}
	nftCommand(t, "flush ruleset")
	nftCommand(t, listing)
	if got := nftCommand(t, "list table inet ssmonitor"); got != listing {
		t.Errorf("the table was listed as\n%s\nand is, loaded again,\n%s", listing, got)
	}
}

// Attach leaves the first published port to Install, which adds the chains.
func TestAttachOfPublishedPorts(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	if err := table.Attach(published(2)); !errors.Is(err, accounting.ErrChanged) {
		t.Errorf("without the chains, Attach returned %v, want ErrChanged", err)
	}
	install(t, table, published(2))
	if err := table.Attach(published(3)); err != nil {
		t.Errorf("with the chains, Attach returned %v", err)
	}
	verifyNothing(t, open(t, Options{}), published(3))
}
