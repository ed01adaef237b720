package main

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/testkit"
	"ssmonitor/output/top"
)

func TestRemotesAreThoseOfThePort(t *testing.T) {
	testkit.NetworkNamespace(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for range 2 {
		conn, err := net.Dial("tcp4", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	socket := filepath.Join(t.TempDir(), "socket")
	agent, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = agent.Close() }()
	remotes := remotes(socket)
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	got, err := remotes(port)
	if want := []top.Remote{{Address: netip.MustParseAddr("127.0.0.1"), Connections: 2}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := remotes(port + 1); err != nil || len(got) != 0 {
		t.Errorf("of another port: %v, %v", got, err)
	}
}

// TestTopHasAnIntervalOfItsOwn has settings with the agent's interval and socket.
func TestTopHasAnIntervalOfItsOwn(t *testing.T) {
	config := writeSettings(t, "interval: 1h\nsocket: /nowhere\n")
	command := topCommand()
	command.Action = func(c *cli.Context) error {
		if err := runTop(c); err == nil {
			t.Error("top has found an agent")
		}
		loaded, err := load(c)
		if err != nil {
			return err
		}
		if got := c.String("interval"); got != "2s" || loaded.Socket != "/nowhere" {
			t.Errorf("got the interval %s and the socket %s", got, loaded.Socket)
		}
		return nil
	}
	app := &cli.App{Commands: []*cli.Command{command}}
	if err := app.RunContext(t.Context(), []string{"ssmonitor", "top", "--once", "--config", config}); err != nil {
		t.Fatal(err)
	}
}
