package setup

import (
	"bytes"
	"io"
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
	var log, out bytes.Buffer
	f := newFollower(t, &log)
	f.Out = &out
	for range 2 {
		if err := f.setUp(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(log.String(), "port 8388: chain ip nat DOCKER publishes it as port 18388") != 1 || strings.Count(out.String(), "1 port counted") != 1 {
		t.Errorf("want one note and one list of two setups:\n%s%s", &log, &out)
	}
}

// newFollower returns a follower of settings with port 8388.
func newFollower(t *testing.T, log io.Writer) *follower {
	t.Helper()
	directory := t.TempDir()
	f := newFailingFollower(t, log, &unit.Notifier{Send: func(string) {}})
	f.Inputs = settings.Inputs{Keys: settings.All(), File: settings.NoFile, Flags: map[string][]string{
		"port": {"8388"}, "ports": {filepath.Join(directory, "ports")}, "no-search": {"true"}, "state": {directory},
	}}
	return f
}

// TestFollowerInstallsAgainAfterAFailure has a table that is gone. While the list and
// what is forwarded are as they were installed, that is the agent's concern.
func TestFollowerInstallsAgainAfterAFailure(t *testing.T) {
	testkit.NetworkNamespace(t)
	f := newFollower(t, io.Discard)
	setUp := func(port string, fails, installs bool) {
		t.Helper()
		f.Inputs.Flags["port"] = []string{port}
		err := f.setUp()
		if tables := testkit.NFT(t, "list tables"); (err != nil) != fails || strings.Contains(tables, "ssmonitor") != installs {
			t.Errorf("port %s: got %v and the tables %q", port, err, tables)
		}
	}
	setUp("8388", false, true)
	testkit.NFT(t, "delete table inet ssmonitor")
	setUp("8388", false, false)
	setUp("x", true, false)
	setUp("8388", false, true)
}
