package control

import (
	"os"
	"strings"
	"testing"
)

// asUser connects as another user and returns everything that the socket sends.
func asUser(t *testing.T, path, user, group string) (received string, failed bool) {
	t.Helper()
	output, err := python(t, user, group, path, `
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
while data := s.recv(4096):
    sys.stdout.buffer.write(data)
`).CombinedOutput()
	return string(output), err != nil
}

// TestOnlyRootIsServed opens the socket to everybody: the kernel's credentials decide,
// not the mode of the file. The others get their answer although they send nothing.
func TestOnlyRootIsServed(t *testing.T) {
	agent := new(fakeAgent)
	path, logged := serve(t, agent)
	if output, failed := asUser(t, path, "65534", "65534"); !failed || !strings.Contains(output, "PermissionError") {
		t.Errorf("nobody connects to a socket of mode 0600: %s", output)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, other := range []struct{ user, group string }{{"65534", "65534"}, {"1234", "0"}} {
		output, failed := asUser(t, path, other.user, other.group)
		want := `{"error":"user ` + other.user + ` may not change anything here: run the command as root, and inside the agent's container if it has one"}` + "\n"
		if failed || !strings.HasPrefix(output, "HTTP/1.1 403 Forbidden\r\n") || !strings.HasSuffix(output, "\r\n\r\n"+want) {
			t.Errorf("user %s of group %s gets %q, want 403 and %s", other.user, other.group, output, want)
		}
		if !strings.Contains(logged.String(), "user "+other.user) {
			t.Errorf("the refusal is not logged:\n%s", logged)
		}
	}
	if err := NewClient(path, Directory{}).HandOver(t.Context(), 20000, "dave"); err != nil {
		t.Errorf("root gets %v", err)
	}
	agent.expectChanges(t, "20000 dave")
}

func TestSocketPath(t *testing.T) {
	if got := SocketPath("/run/ssmonitor/ssmonitor.sock"); got != "/run/ssmonitor/control.sock" {
		t.Errorf("got %s", got)
	}
}
