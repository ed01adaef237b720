package processes_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/integration/portlist"
	"ssmonitor/integration/processes"
	"ssmonitor/internal/setup"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/testkit"
)

const (
	patience = 20 * time.Second
	nobody   = 65534
)

var host = setup.RunningServers

func as(user uint32) func(*exec.Cmd) {
	return func(command *exec.Cmd) { command.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user} }
}

func write(t *testing.T, directory, name, content string) string {
	t.Helper()
	path := filepath.Join(directory, name)
	testkit.WriteFile(t, path, content)
	return path
}

// found describes the servers that run, and the ports at which they listen.
func found(t *testing.T) (descriptions []string, servers []processes.Server) {
	t.Helper()
	found, err := host.Find()
	if err != nil {
		t.Fatal(err)
	}
	listening, err := found.Listening(func(sockdiag.ListeningSocket) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for i, server := range found.Servers {
		text := server.Program
		for _, path := range append(server.Files, server.Directories...) {
			text += " " + path
		}
		for _, port := range server.Ports {
			text += " " + portlist.FormatSpec(port)
		}
		for _, port := range listening[i] {
			text += " listens:" + portlist.FormatSpec(port)
		}
		descriptions = append(descriptions, text)
	}
	return descriptions, found.Servers
}

func waitFor(t *testing.T, want ...string) (servers []processes.Server) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		var got []string
		got, servers = found(t)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
	return servers
}

func configuration(port int, mode string) string {
	return fmt.Sprintf(`{"server": "0.0.0.0", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm", "mode": %q}`, port, mode)
}

func TestServersThatRun(t *testing.T) {
	testkit.NetworkNamespace(t)
	directory := testkit.RootsDirectory(t)
	file := write(t, directory, "odd/a.json", configuration(8001, "tcp_and_udp"))
	in := func(command *exec.Cmd) { command.Dir = directory }
	testkit.Start(t, nil, "ss-server", "-c", file)
	waitFor(t, "ss-server "+file+" listens:8001")
	testkit.Start(t, in, "ss-server", "-c", "odd/../odd/a.json", "-p", "8002")
	waitFor(t, "ss-server "+file+" listens:8001", "ss-server 8002 listens:8002")
	testkit.Start(t, as(nobody), "ss-server", "-s", "0.0.0.0", "-p", "8003", "-k", "QZQZQ", "-m", "aes-256-gcm")
	waitFor(t, "ss-server "+file+" listens:8001", "ss-server 8002 listens:8002", "ss-server 8003/tcp listens:8003/tcp")
	v2ray := write(t, directory, "v2ray/a.json", `{"inbounds": [
		{"port": 8004, "protocol": "shadowsocks", "settings": {"method": "aes-256-gcm", "password": "QZQZQ"}},
		{"listen": "127.0.0.1", "port": 8005, "protocol": "socks"}], "outbounds": [{"protocol": "freedom"}]}`)
	testkit.Start(t, in, "v2ray", "-config=v2ray/a.json")
	waitFor(t, "ss-server "+file+" listens:8001", "ss-server 8002 listens:8002", "v2ray "+v2ray+" listens:8004/tcp",
		"ss-server 8003/tcp listens:8003/tcp") // those of root come first
}

// The manager's own sockets are not for clients; its servers have files of their own.
func TestTheServersOfAManager(t *testing.T) {
	testkit.NetworkNamespace(t)
	directory := testkit.RootsDirectory(t)
	work := filepath.Join(directory, "work")
	file := write(t, directory, "m.json", `{"server": "0.0.0.0", "port_password": {"8011": "QZQZQ"}, "method": "aes-256-gcm"}`)
	manager := testkit.Start(t, nil, "ss-manager", "-c", file, "-D", work, "--manager-address", "0.0.0.0:6001")
	t.Cleanup(func() {
		servers, _ := host.Find()
		for _, server := range servers.Servers {
			if server.Program == "ss-server" {
				_ = syscall.Kill(server.PID, syscall.SIGKILL)
			}
		}
		_ = manager.Process.Kill()
	})
	waitFor(t, "ss-manager "+file+" "+work, "ss-server "+work+"/.shadowsocks_8011.conf listens:8011/tcp")
}

func TestOtherNamespacesAndClientsDoNotCount(t *testing.T) {
	testkit.NetworkNamespace(t)
	directory := testkit.RootsDirectory(t)
	file := write(t, directory, "a.json", configuration(8021, "tcp_only"))
	other := func(command *exec.Cmd) { command.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET }
	testkit.Start(t, other, "ss-server", "-c", file)
	testkit.Start(t, nil, "ss-local", "-s", "192.0.2.1", "-p", "8022", "-l", "1080", "-k", "QZQZQ", "-m", "aes-256-gcm")
	testkit.Start(t, nil, "ss-server", "-c", file)
	waitFor(t, "ss-server "+file+" listens:8021/tcp")
}

// fake returns a program of any name that waits for 1000 s.
func fake(t *testing.T, directory, name string) string {
	t.Helper()
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(shell)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, directory, name, string(program))
	if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

// socket opens one that receives.
func socket(t *testing.T, network, address string) *os.File {
	t.Helper()
	var file *os.File
	var err error
	if network == "udp" {
		var conn net.PacketConn
		if conn, err = net.ListenPacket(network, address); err == nil {
			file, err = conn.(*net.UDPConn).File()
			_ = conn.Close()
		}
	} else {
		var listener net.Listener
		if listener, err = net.Listen(network, address); err == nil {
			file, err = listener.(*net.TCPListener).File()
			_ = listener.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// A manager in whose process the servers are is told by UDP what to serve, at any port.
func TestTheSocketsOfAManagerInOneProcess(t *testing.T) {
	testkit.NetworkNamespace(t)
	directory := testkit.RootsDirectory(t)
	files := []*os.File{socket(t, "tcp", ":8081"), socket(t, "udp", ":8081"), socket(t, "udp", ":6001")}
	for _, arguments := range [][]string{{"ssmanager"}, {"ssservice", "manager"}} {
		command := testkit.Start(t, func(command *exec.Cmd) { command.ExtraFiles = files }, fake(t, directory, arguments[0]),
			append([]string{"-c", "sleep 1000; true"}, arguments[1:]...)...)
		waitFor(t, arguments[0]+" "+filepath.Join(workingDirectory(t), "sleep 1000; true")+" listens:8081")
		testkit.Stop(command)
	}
}

// The sockets of a plugin are its server's. Those for relaying datagrams, and those that
// only this host can reach, are not for clients.
func TestTheSocketsOfAPlugin(t *testing.T) {
	testkit.NetworkNamespace(t)
	program := fake(t, testkit.RootsDirectory(t), "ss-server")
	files := []*os.File{
		socket(t, "tcp", ":8031"), socket(t, "udp", ":8032"), socket(t, "tcp", "127.0.0.1:8033"), socket(t, "udp", "[::1]:8034"),
		socket(t, "udp", ":40000"), socket(t, "udp", ":40001"), socket(t, "tcp", ":40001"),
	}
	plugin := func(command *exec.Cmd) { command.ExtraFiles = files }
	script := "sleep 1000 & exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; wait"
	testkit.Start(t, plugin, program, "-c", script)
	for _, file := range files {
		_ = file.Close()
	}
	waitFor(t, "ss-server "+filepath.Join(workingDirectory(t), script)+" listens:8031/tcp listens:8032/udp listens:40001")
}

func workingDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return directory
}

// Without the right to trace it, the sockets and the working directory of a server are
// hidden, its command line is not, and neither is its network namespace.
func TestServersThatAreHidden(t *testing.T) {
	testkit.NetworkNamespace(t)
	file := write(t, testkit.RootsDirectory(t), "a.json", configuration(8041, "tcp_only"))
	testkit.Start(t, func(command *exec.Cmd) { command.Dir = filepath.Dir(file) }, "ss-server", "-c", "a.json")
	testkit.Start(t, func(command *exec.Cmd) { command.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET }, "ss-server", "-c", file)
	usual := write(t, filepath.Dir(file), "config.json", "{}")
	testkit.Start(t, func(command *exec.Cmd) {
		command.Dir = filepath.Dir(file)
		if _, err := command.StdinPipe(); err != nil { // its shell waits for more
			t.Fatal(err)
		}
	}, fake(t, filepath.Dir(file), "xray"))
	if servers := waitFor(t, "ss-server "+file+" listens:8041/tcp", "xray "+usual); servers[0].Hidden {
		t.Error("hidden from root")
	}
	testkit.DropCapabilities(t)
	servers := waitFor(t, "ss-server a.json", "xray config.json")
	if !servers[0].Hidden {
		t.Error("not hidden")
	}
	if _, err := servers[0].Resolve("a.json"); !errors.Is(err, processes.ErrRelative) {
		t.Errorf("a relative path: %v", err)
	}
}

func TestWithoutProc(t *testing.T) {
	for _, proc := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		found, err := (&processes.Procfs{Proc: proc}).Find()
		if err != nil || len(found.Servers) != 0 {
			t.Errorf("%+v, %v", found, err)
		}
	}
}

func BenchmarkLook(b *testing.B) {
	for b.Loop() {
		if _, err := host.Look(); err != nil {
			b.Fatal(err)
		}
	}
}
