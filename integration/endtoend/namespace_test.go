package endtoend_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"

	"ssmonitor/internal/testkit"
)

// The addresses of the test network. The server's and the client's network
// namespaces are joined by a pair of interfaces, both named link.
const (
	link       = "veth0"
	serverIPv4 = "10.77.0.1"
	serverIPv6 = "fd77::1"
	clientIPv4 = "10.77.0.2"
	clientIPv6 = "fd77::2"
)

// namespace is a network namespace, identified by its name for ip(8).
type namespace string

// newNamespace creates a network namespace in which only loopback is up. It is
// removed at the end of the test, together with all its processes.
func newNamespace(t *testing.T) namespace {
	t.Helper()
	require(t)
	n := namespace(randomName())
	ip(t, "netns", "add", string(n))
	t.Cleanup(func() {
		n.killAll(t)
		ip(t, "netns", "delete", string(n))
	})
	ip(t, "-netns", string(n), "link", "set", "lo", "up")
	return n
}

// newServerAndClient creates two namespaces and joins them.
func newServerAndClient(t *testing.T) (server product, client namespace) {
	t.Helper()
	server, client = newServer(t), newNamespace(t)
	join(t, server.namespace, client, link,
		[]string{serverIPv4 + "/24", serverIPv6 + "/64"},
		[]string{clientIPv4 + "/24", clientIPv6 + "/64"})
	return server, client
}

// join makes a pair of interfaces that carries nothing but the traffic of the
// programs in the two namespaces: neighbour entries are permanent, and nothing
// solicits routers or reports multicast groups. So the counters must equal the
// statistics of the interfaces.
func join(t *testing.T, left, right namespace, name string, leftAddresses, rightAddresses []string) {
	t.Helper()
	const leftMAC, rightMAC = "02:00:00:00:77:01", "02:00:00:00:77:02"
	ip(t, "link", "add", name, "netns", string(left), "type", "veth", "peer", "name", name, "netns", string(right))
	ends := []struct {
		namespace
		mac, neighbourMAC     string
		addresses, neighbours []string
	}{
		{left, leftMAC, rightMAC, leftAddresses, rightAddresses},
		{right, rightMAC, leftMAC, rightAddresses, leftAddresses},
	}
	for _, end := range ends {
		var batch strings.Builder
		fmt.Fprintf(&batch, "link set dev %s addrgenmode none arp off address %s up\n", name, end.mac)
		for _, address := range end.addresses {
			fmt.Fprintf(&batch, "address add %s dev %s nodad\n", address, name)
		}
		for _, neighbour := range end.neighbours {
			address, _, _ := strings.Cut(neighbour, "/")
			fmt.Fprintf(&batch, "neighbour replace %s lladdr %s dev %s nud permanent\n", address, end.neighbourMAC, name)
		}
		command := exec.Command("ip", "-netns", string(end.namespace), "-batch", "-")
		command.Stdin = strings.NewReader(batch.String())
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("ip -batch: %v\n%s\nin:\n%s", err, output, &batch)
		}
	}
}

func ip(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := exec.Command("ip", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// killAll ends the processes that live in the namespace, those that left
// their parents included, and waits until they have ended.
func (n namespace) killAll(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		pids := strings.Fields(ip(t, "netns", "pids", string(n)))
		if len(pids) == 0 {
			return nil
		}
		for _, text := range pids {
			pid, err := strconv.Atoi(text)
			if err != nil {
				return fmt.Errorf("ip netns pids: %w", err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("killing process %d: %w", pid, err)
			}
		}
		return fmt.Errorf("processes %v are still alive", pids)
	})
}

// traffic is both directions of an interface or a port.
type traffic struct {
	in, out accounting.Count
}

// statistics returns what an interface has received and sent, without Ethernet
// headers.
func (n namespace) statistics(t *testing.T, name string) traffic {
	t.Helper()
	type side struct{ Bytes, Packets uint64 }
	var links []struct {
		LinkType string `json:"link_type"`
		Stats64  struct{ RX, TX side }
	}
	output := ip(t, "-netns", string(n), "-json", "-statistics", "link", "show", "dev", name)
	if err := json.Unmarshal([]byte(output), &links); err != nil || len(links) != 1 {
		t.Fatalf("statistics of %s: %v in %s", name, err, output)
	}
	header := uint64(14)
	if links[0].LinkType == "loopback" {
		header = 0
	}
	withoutHeaders := func(s side) accounting.Count {
		return accounting.Count{Packets: s.Packets, Bytes: s.Bytes - header*s.Packets}
	}
	return traffic{in: withoutHeaders(links[0].Stats64.RX), out: withoutHeaders(links[0].Stats64.TX)}
}

// program is a running process of a test.
type program struct {
	command *exec.Cmd
	stdout  testkit.Log
	stderr  testkit.Log
	done    chan struct{} // closed when the process has ended
}

// command prepares a program to run in the namespace.
func (n namespace) command(name string, arguments ...string) *exec.Cmd {
	command := exec.Command("ip", append([]string{"netns", "exec", string(n), name}, arguments...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// start runs a program in the namespace. It is killed when the test ends;
// what it wrote is shown if the test failed.
func (n namespace) start(t *testing.T, name string, arguments ...string) *program {
	t.Helper()
	return start(t, n.command(name, arguments...))
}

// run runs a program in the namespace to its end and returns what it wrote to
// stdout. The test fails if the program does.
func (n namespace) run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	p := begin(t, n.command(name, arguments...))
	if status := p.wait(t); status != 0 {
		t.Fatalf("%s ended with status %d\n%s", p, status, &p.stderr)
	}
	return p.stdout.String()
}

// start is like begin, but shows the output of the program if the test fails.
func start(t *testing.T, command *exec.Cmd) *program {
	t.Helper()
	p := begin(t, command)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s: %s\nstdout:\n%s\nstderr:\n%s", p, command.ProcessState, &p.stdout, &p.stderr)
		}
	})
	return p
}

// begin starts a program, which is killed when the test ends.
func begin(t *testing.T, command *exec.Cmd) *program {
	t.Helper()
	p := &program{command: command, done: make(chan struct{})}
	if command.Stdout == nil {
		command.Stdout = &p.stdout
	}
	if command.Stderr == nil {
		command.Stderr = &p.stderr
	}
	// ss-manager's servers outlive it and keep the pipes open; the test must
	// not wait for them.
	command.WaitDelay = time.Second
	if err := command.Start(); err != nil {
		t.Fatalf("starting %s: %v", p, err)
	}
	go func() {
		_ = command.Wait() // wait looks at the state
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *program) String() string { return strings.Join(p.command.Args, " ") }

func (p *program) signal(signal os.Signal) {
	_ = p.command.Process.Signal(signal) // fails only when the process has ended
}

// freeze stops the program, and returns when none of its threads runs any more: one
// that waits for a processor may be in the middle of a system call.
func (p *program) freeze(t *testing.T) {
	t.Helper()
	p.signal(syscall.SIGSTOP)
	for {
		err := unix.Waitid(unix.P_PID, p.command.Process.Pid, nil, unix.WSTOPPED, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatalf("%s is not stopped: %v", p, err)
		}
	}
}

// kill ends the program at once, if it still runs.
func (p *program) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// waitSaying waits until the program has written the text to stderr.
func (p *program) waitSaying(t *testing.T, text string) {
	t.Helper()
	p.waitWriting(t, &p.stderr, text)
}

// waitShowing waits until the program has written the text to stdout.
func (p *program) waitShowing(t *testing.T, text string) {
	t.Helper()
	p.waitWriting(t, &p.stdout, text)
}

func (p *program) waitWriting(t *testing.T, written *testkit.Log, text string) {
	t.Helper()
	eventually(t, func() error {
		if strings.Contains(written.String(), text) {
			return nil
		}
		p.mustRun(t)
		return fmt.Errorf("%s does not write %q but:\n%s\n%s", p, text, &p.stdout, &p.stderr)
	})
}

// mustRun fails the test if the program has ended, so that the test does not wait
// for it in vain.
func (p *program) mustRun(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		t.Fatalf("%s has ended with status %d:\n%s", p, p.command.ProcessState.ExitCode(), &p.stderr)
	default:
	}
}

// wait returns the program's exit status, or -1 if a signal ended it.
func (p *program) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.command.ProcessState.ExitCode()
	case <-time.After(4 * patience):
		t.Fatalf("%s does not end", p)
		return 0
	}
}

// waitListening waits until the port is open for each of the protocols.
func (n namespace) waitListening(t *testing.T, port int, protocols ...string) {
	t.Helper()
	for _, protocol := range protocols {
		eventually(t, func() error {
			output, err := n.command("ss", "-Hln", "--"+protocol, fmt.Sprintf("sport = :%d", port)).CombinedOutput()
			if err != nil {
				return fmt.Errorf("ss: %w\n%s", err, output)
			}
			if len(output) == 0 {
				return fmt.Errorf("nobody listens on port %d/%s", port, protocol)
			}
			return nil
		})
	}
}
