package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ssmonitor/internal/testkit"
)

// filters returns how many seccomp filters each thread of a process has.
func filters(t *testing.T, pid int) (counts []int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(status)) {
			if text, ok := strings.CutPrefix(line, "Seccomp_filters:"); ok {
				count, err := strconv.Atoi(strings.TrimSpace(text))
				if err != nil {
					t.Fatal(err)
				}
				counts = append(counts, count)
			}
		}
	}
	return counts
}

// netlinkProtocols returns the protocols of the netlink sockets that a process holds.
func netlinkProtocols(t *testing.T, pid int) (protocols []string) {
	t.Helper()
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/netlink", pid))
	if err != nil {
		t.Fatal(err)
	}
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, descriptor := range descriptors {
		target, _ := os.Readlink(descriptor) // it may be closed meanwhile
		for line := range strings.Lines(string(list)) {
			if fields := strings.Fields(line); target == "socket:["+fields[len(fields)-1]+"]" {
				protocols = append(protocols, fields[1])
			}
		}
	}
	return protocols
}

// TestConfinedAgent has all that the agent looks at change after its filter is in
// force on every thread: a rule that publishes a port, an address and a default route
// that decide what a rule means, and traffic.
func TestConfinedAgent(t *testing.T) {
	testkit.Require(t, "ip")
	p := newPlace(t)
	own := filters(t, os.Getpid())[0] // of the machine that the tests run in
	ip := func(line string) {
		t.Helper()
		if output, err := exec.Command("sh", "-c", "ip "+line).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, output)
		}
	}
	ip("link add name up0 type veth peer name up1 && ip link set dev up0 up && ip link set dev up1 up")
	agent := p.start("--port", "20000", "--port", "20001", "--socket", p.socket, "--csv", p.csv)
	p.awaitCSV()
	for _, count := range filters(t, agent.Process.Pid) {
		if count != own+1 {
			t.Errorf("a thread of the agent has %d filters, want %d", count, own+1)
		}
	}
	held := netlinkProtocols(t, agent.Process.Pid)
	for _, protocol := range held {
		if protocol != strconv.Itoa(unix.NETLINK_NETFILTER) && protocol != strconv.Itoa(unix.NETLINK_SOCK_DIAG) {
			t.Errorf("the agent holds a socket of netlink protocol %s", protocol)
		}
	}
	if len(held) == 0 {
		t.Error("the agent holds no netlink socket")
	}
	counted := func(address string, want bool) {
		t.Helper()
		testkit.Eventually(t, 10*time.Second, func() error {
			table := testkit.NFT(t, "list table inet ssmonitor")
			if strings.Contains(table, address) != want {
				return errors.New(address + " is not as it should be in\n" + table)
			}
			return nil
		})
	}
	testkit.NFT(t, `table ip engine { chain prerouting {
		type nat hook prerouting priority dstnat
		ip daddr 192.0.2.7 tcp dport 20000 dnat to 172.30.0.2:8388
		iifname "up0" tcp dport 20001 dnat to 172.30.0.3:8388
	}; }`)
	ip("address add 192.0.2.7/32 dev lo")
	counted("172.30.0.2 . tcp . 8388", true)
	counted("172.30.0.3 . tcp . 8388", false)
	ip("route add default dev up0")
	counted("172.30.0.3 . tcp . 8388", true)
	agent.stop()
	if log := agent.log.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the agent logs\n%s", log)
	}
}
