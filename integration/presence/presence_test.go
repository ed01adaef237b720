package presence

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/testkit"
)

func TestOneAgentPerNamespace(t *testing.T) {
	testkit.NetworkNamespace(t)
	if agent, err := Find(); agent != nil || err != nil {
		t.Fatalf("without an agent: got %+v, %v", agent, err)
	}
	first, err := Take("ports")
	if err != nil {
		t.Fatal(err)
	}
	var running *RunningError
	if _, err := Take(""); !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("a second claim: got %v, want one that names process %d", err, os.Getpid())
	}
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if agent, err := Find(); err != nil || *agent != (Agent{os.Getpid(), directory + "/ports"}) {
			t.Fatalf("got %+v, %v", agent, err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Take("")
	if err != nil {
		t.Fatalf("a claim after the first was closed: %v", err)
	}
	if agent, err := Find(); err != nil || agent.List != "" {
		t.Errorf("without a list: got %+v, %v", agent, err)
	}
	testkit.NetworkNamespace(t)
	other, err := Take("")
	if err != nil {
		t.Errorf("a claim in another network namespace: %v", err)
	}
	if err := errors.Join(again.Close(), other.Close()); err != nil {
		t.Error(err)
	}
}

// TestStrangerIsNoObstacle has a process without CAP_NET_ADMIN take the address.
func TestStrangerIsNoObstacle(t *testing.T) {
	testkit.NetworkNamespace(t)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	// Listening again makes the credentials those of the child.
	command := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c",
		"import socket,sys; s=socket.socket(fileno=3); s.listen(5); print('up', flush=True); sys.stdin.read()")
	command.Stderr = os.Stderr
	command.ExtraFiles = []*os.File{file}
	stdin, inErr := command.StdinPipe()
	stdout, outErr := command.StdoutPipe()
	if err := errors.Join(inErr, outErr, command.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Wait() }()
	defer func() { _ = stdin.Close() }()
	if _, err := stdout.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	claim, err := Take("")
	if err != nil {
		t.Fatalf("with the address taken by nobody: %v", err)
	}
	if err := claim.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullBacklogIsNoObstacle has a process take the address that accepts no
// connection.
func TestFullBacklogIsNoObstacle(t *testing.T) {
	testkit.NetworkNamespace(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: address}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // more than fit
		if connection, err := net.Dial("unix", address); err == nil {
			defer func() { _ = connection.Close() }()
		}
	}
	if agent, err := Find(); agent != nil || err != nil {
		t.Errorf("Find: got %+v, %v, want no agent", agent, err)
	}
	claim, err := Take("")
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Close(); err != nil {
		t.Error(err)
	}
}

// TestUnknownProcessIsTakenForAnAgent has no process, as where the agent is in
// another PID namespace: two agents would be worse than none.
func TestUnknownProcessIsTakenForAnAgent(t *testing.T) {
	if !canChangeFirewall(0) {
		t.Error("a process of which nothing is known is taken for no agent")
	}
}
