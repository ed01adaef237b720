package paths

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace, identified by its name for ip(8).
type namespace string

// newNamespace creates a network namespace in which only loopback is up. It is
// removed at the end of the test.
func newNamespace(t *testing.T) namespace {
	t.Helper()
	n := namespace("ssmonitor-" + strings.ToLower(rand.Text()[:10]))
	run(t, exec.Command("ip", "netns", "add", string(n)))
	t.Cleanup(func() { run(t, exec.Command("ip", "netns", "delete", string(n))) })
	n.ip(t, "link set lo up")
	return n
}

// do calls f on a thread that is in the namespace.
func (n namespace) do(t *testing.T, f func() error) {
	t.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		result <- n.enter(f)
	}()
	if err := <-result; err != nil {
		t.Fatalf("in namespace %s: %v", n, err)
	}
}

func (n namespace) enter(f func() error) error {
	file, err := os.Open(filepath.Join("/run/netns", string(n)))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	return f()
}

// command returns a command that runs in the namespace.
func (n namespace) command(name string, arguments ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", string(n), name}, arguments...)...)
}

// ip runs ip(8) with each line.
func (n namespace) ip(t *testing.T, lines ...string) {
	t.Helper()
	command := exec.Command("ip", "-netns", string(n), "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	run(t, command)
}

func (n namespace) nft(t *testing.T, script string) {
	t.Helper()
	command := n.command("nft", "-f", "-")
	command.Stdin = strings.NewReader(script)
	run(t, command)
}

// set sets a sysctl of the namespace, named as below /proc/sys/net.
func (n namespace) set(t *testing.T, name, value string) {
	t.Helper()
	n.do(t, func() error { return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0) })
}

// counters returns the bytes of each counter of a table.
func (n namespace) counters(t *testing.T, table string) map[string]int {
	t.Helper()
	var listing struct {
		NFTables []struct {
			Counter struct {
				Name  string
				Bytes int
			}
		}
	}
	if err := json.Unmarshal([]byte(run(t, n.command("nft", "-j", "list", "counters", "table", "inet", table))), &listing); err != nil {
		t.Fatal(err)
	}
	bytes := make(map[string]int)
	for _, entry := range listing.NFTables {
		bytes[entry.Counter.Name] = entry.Counter.Bytes
	}
	return bytes
}

// join joins two namespaces by a pair of devices of the same name. The left end
// has the addresses with 1 as the last number, the right end those with 2.
func join(t *testing.T, left, right namespace, name, ipv4, ipv6 string) {
	t.Helper()
	run(t, exec.Command("ip", "link", "add", name, "netns", string(left), "type", "veth", "peer", "name", name, "netns", string(right)))
	for i, n := range []namespace{left, right} {
		n.ip(t,
			fmt.Sprintf("address add %s%d/24 dev %s", ipv4, i+1, name),
			fmt.Sprintf("address add %s%d/64 dev %s nodad", ipv6, i+1, name),
			fmt.Sprintf("link set %s up", name))
	}
}

// run runs a command, which must succeed, and returns what it prints.
func run(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var complaints strings.Builder
	command.Stderr = &complaints
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, printed, &complaints)
	}
	return string(printed)
}
