package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestNetdataStreamsToAParent runs a Netdata on a server and another one, its
// parent, with the settings of the example.
func TestNetdataStreamsToAParent(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	server, client := newServerAndClient(t)
	server.startAgent(t, "--port", "20000=alice").waitSaying(t, "counting")
	example := testkit.ReadFile(t, "../netdata/stream.conf")
	ofServers, ofParent, found := strings.Cut(example, "# On the parent:")
	if !found {
		t.Fatalf("the example has no part for the parent:\n%s", example)
	}
	change := func(n netdata, file, old, replacement string) {
		path := filepath.Join(n.directory, "etc", file)
		content := testkit.ReadFile(t, path)
		if !strings.Contains(content, old) {
			t.Fatalf("%s has no %q", file, old)
		}
		testkit.ReplaceFile(t, path, strings.ReplaceAll(content, old, replacement))
	}

	parent := newNetdata(t, newProduct(t, client))
	if err := os.Remove(filepath.Join(parent.directory, "plugins.d", "ssmonitor.plugin")); err != nil {
		t.Fatal(err)
	}
	change(parent, "netdata.conf", "bind to = 127.0.0.1", "bind to = 0.0.0.0")
	testkit.ReplaceFile(t, filepath.Join(parent.directory, "etc", "stream.conf"), ofParent)
	change(parent, "stream.conf", "dbengine", "ram")
	parent.launch(t)

	child := newNetdata(t, server)
	change(child, "netdata.conf", "[global]", "[global]\n    hostname = child")
	testkit.ReplaceFile(t, filepath.Join(child.directory, "etc", "stream.conf"), ofServers)
	change(child, "stream.conf", "parent.example.com", clientIPv4)
	// What Netdata tells its parent about the system; it aborts without.
	if err := os.Symlink(filepath.Join(installedNetdata, "plugins.d", "system-info.sh"), filepath.Join(child.directory, "plugins.d", "system-info.sh")); err != nil {
		t.Fatal(err)
	}
	child.launch(t)

	const datagrams = 25
	server.sendToItself(t, 20000, datagrams)
	value := regexp.MustCompile(`(?m)^.*chart="ssmonitor.port_20000_traffic".*dimension="received"} (\d+)`)
	eventually(t, func() error {
		page, err := client.command("curl", "--silent", "--show-error", "--fail",
			fmt.Sprintf("http://127.0.0.1:%d/host/child/api/v1/allmetrics?format=prometheus&source=as-collected", netdataPort)).Output()
		if err != nil {
			return fmt.Errorf("asking the parent: %w", err)
		}
		got := value.FindSubmatch(page)
		if got == nil || string(got[1]) != fmt.Sprint(datagrams*datagram/2) {
			return fmt.Errorf("the parent has %q, want %d bytes", got, datagrams*datagram/2)
		}
		return nil
	})
}
