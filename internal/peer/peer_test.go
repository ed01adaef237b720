package peer_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"ssmonitor/internal/peer"
)

func TestCredentials(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the test is over
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // the test is over
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]net.Conn{"client": client, "server": server} {
		got, err := peer.Credentials(end)
		if err != nil || int(got.Pid) != os.Getpid() || int(got.Uid) != os.Geteuid() {
			t.Errorf("%s: got %+v, %v, want this process", name, got, err)
		}
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := peer.Credentials(server); err == nil {
		t.Errorf("closed: got %+v", got)
	}
	pipe, _ := net.Pipe()
	if got, err := peer.Credentials(pipe); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no socket: got %+v, %v", got, err)
	}
}
