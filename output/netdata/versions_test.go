package netdata

import (
	"strings"
	"testing"
	"time"
)

// TestNetdataWithoutLabels has a client with a name, another name, and none, for a
// Netdata that disables a plugin for a label.
func TestNetdataWithoutLabels(t *testing.T) {
	var text strings.Builder
	charts := newChartWriter(&text, 1, allPorts, false)
	reader := newNetdata()
	reader.old = true
	for second, step := range []struct{ name, traffic, packets, addresses string }{
		{"alice", "Traffic of port 20000 (alice)", "Packets of port 20000 (alice)", "Addresses connected to port 20000 (alice)"},
		{"bob", "Traffic of port 20000 (bob)", "Packets of port 20000 (bob)", "Addresses connected to port 20000 (bob)"},
		{"", "Traffic of port 20000", "Packets of port 20000", "Addresses connected to port 20000"},
	} {
		port := named(20000, step.name, count(1, 1), count(1, 1))
		port.Connections.Known = true
		text.Reset()
		if err := charts.write(at(time.Duration(second)*time.Second, port)); err != nil {
			t.Fatal(err)
		}
		reader.feed(t, text.String())
		for id, want := range map[string]string{
			"ssmonitor.total_traffic": "Traffic of all ports", alicesTraffic: step.traffic,
			"ssmonitor.port_20000_packets": step.packets, "ssmonitor.port_20000_addresses": step.addresses,
		} {
			if got := reader.charts[id].title; got != want {
				t.Errorf("%s is titled %q, want %q", id, got, want)
			}
		}
	}
}

func TestLabelsByVersion(t *testing.T) {
	for version, want := range map[string]bool{
		"": true, "unknown": true, "1.12.0-1+deb10u1": false, "1.19.0": false, "v1.29.3": false, "1.29.3-4": false,
		"v1.31.0-104-nightly": false, "v1.32.0": true, "1.33.1": true, "v1.37.1": true, "v1.99.0-nightly": true, "v2.0.0": true, "v10.1.3": true,
	} {
		if got := knowsLabels(version); got != want {
			t.Errorf("version %q: got %t, want %t", version, got, want)
		}
	}
}

// TestLongestNameFitsIntoALine has the longest name that a chart shows, with labels
// and without.
func TestLongestNameFitsIntoALine(t *testing.T) {
	for _, labels := range []bool{true, false} {
		port := named(65535, strings.Repeat("李", 1000), count(1, 1), count(1, 1))
		port.Connections.Known = true
		netdataAfter(t, 86400, labels, at(0, port))
	}
}
