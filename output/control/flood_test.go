package control

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// stranger is a client of another user, on a socket that everybody may connect to.
func stranger(t *testing.T, path, script string) *exec.Cmd {
	t.Helper()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return python(t, "65534", "65534", path, script)
}

// TestRefusedClientReadsItsAnswer has clients of another user that send their request
// before the agent has answered, and after it. Both get 403, not an error of the socket.
func TestRefusedClientReadsItsAnswer(t *testing.T) {
	path, _ := serve(t, new(fakeAgent))
	output, err := stranger(t, path, `
request = b"POST /v1/clients/new HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n" + bytes(3000)
for attempt in range(50):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(sys.argv[1])
    if attempt % 2:
        events = select.poll()
        events.register(s, select.POLLRDHUP)
        events.poll(10000)
    s.sendall(request)
    answer = b""
    while data := s.recv(4096):
        answer += data
    print(answer.split(b"\r\n")[0].decode())
`).CombinedOutput()
	if got := strings.Count(string(output), "HTTP/1.1 403 Forbidden\n"); err != nil || got != 50 {
		t.Errorf("%d of 50 clients got 403: %v\n%s", got, err, output)
	}
}

// TestCommandDespiteStrangers has a thousand clients of another user that go on writing.
func TestCommandDespiteStrangers(t *testing.T) {
	path, _ := serve(t, new(fakeAgent))
	attack := stranger(t, path, `
all = []
for attempt in range(1000):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(sys.argv[1])
    all.append(s)
print("connected", flush=True)
while True:
    for s in all:
        try:
            s.send(b"x")
        except OSError:
            pass
`)
	stdout, err := attack.StdoutPipe()
	if err == nil {
		err = attack.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = attack.Process.Kill()
		_ = attack.Wait()
	})
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	if err := NewClient(path, Directory{}).HandOver(ctx, 20000, "dave"); err != nil {
		t.Errorf("root gets %v", err)
	}
}
