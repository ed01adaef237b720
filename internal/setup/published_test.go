package setup

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/unit"
)

// TestFollowerNotesAnotherNumberOnce has a container with the port of a configuration,
// which an engine publishes as another one.
func TestFollowerNotesAnotherNumberOnce(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, `table ip nat {
		chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
		chain DOCKER { iifname != "docker0" meta l4proto { tcp, udp } th dport 18388 dnat to 172.17.0.2:8388; }
	}`)
	directory := t.TempDir()
	var log, out bytes.Buffer
	f := newFailingFollower(t, &log, &unit.Notifier{Send: func(string) {}})
	f.Out = &out
	f.Inputs = settings.Inputs{Keys: settings.All(), File: settings.NoFile, Flags: map[string][]string{
		"port": {"8388"}, "ports": {filepath.Join(directory, "ports")}, "no-search": {"true"}, "state": {directory},
	}}
	for range 2 {
		if err := f.setUp(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(log.String(), "port 8388: chain ip nat DOCKER publishes it as port 18388") != 1 || strings.Count(out.String(), "1 port counted") != 1 {
		t.Errorf("want one note and one list of two setups:\n%s%s", &log, &out)
	}
}
