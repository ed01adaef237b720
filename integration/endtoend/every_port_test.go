package endtoend_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/api"
)

// TestEveryPort counts all 65,535 ports, with all outputs, and removes and adds
// one of them.
func TestEveryPort(t *testing.T) {
	if testing.Short() {
		t.Skip("65,535 ports take a while")
	}
	const megabytes = 90 // of its own, with the list that was read last and a report that was just read
	server := newServer(t)
	step := func(name string, do func()) {
		began := time.Now()
		do()
		t.Logf("%s: %s", name, time.Since(began).Round(time.Millisecond))
	}
	step("setup", func() { server.setup(t, "--port", "1-65535") })
	command := server.ssmonitor(nil, "run", "--list", server.list, "--interval", "2s")
	command.Env = append(command.Env, "GOMEMLIMIT=67MiB") // as under the unit's limit
	agent := agent{server, start(t, command)}
	lines := func(want int) func() {
		return func() {
			testkit.Eventually(t, 4*patience, func() error {
				agent.mustRun(t)
				content, err := os.ReadFile(server.csv)
				if got := bytes.Count(content, []byte("\n")); err != nil || got != want {
					return fmt.Errorf("the CSV has %d lines, want %d (%w)", got, want, err)
				}
				return nil
			})
		}
	}
	step("the first rates", lines(65535))
	server.sendToItself(t, 1, 7)
	server.sendToItself(t, 65535, 5)
	expect := func(ports map[uint16]uint64) {
		t.Helper()
		testkit.Eventually(t, 4*patience, func() error {
			// The race detector decodes more slowly than the agent waits for a reader.
			_, page, err := agent.request("/v1/ports")
			if err != nil {
				return err
			}
			report, err := api.ReadReport(strings.NewReader(page))
			if err != nil {
				return err
			}
			got := totals(report)
			for port, packets := range ports {
				if key := (accounting.Key{Port: port, Protocol: accounting.UDP}); got[key].Packets != packets {
					return fmt.Errorf("%s: got %d packets, want %d", key, got[key].Packets, packets)
				}
			}
			return nil
		})
	}
	step("a report", func() { expect(map[uint16]uint64{1: 7, 40000: 0, 65535: 5}) })

	step("a port less", func() {
		server.setup(t, "--port", "1-39999", "--port", "40001-65535")
		lines(65534)()
	})
	step("a port more", func() {
		server.setup(t, "--port", "1-65535")
		lines(65535)()
	})
	server.sendToItself(t, 40000, 3)
	expect(map[uint16]uint64{1: 7, 40000: 3, 65535: 5})

	// What the reports took is returned in the collector's own time.
	step("memory", func() {
		eventually(t, func() error {
			if own := ownMegabytes(t, agent.command.Process.Pid); own > megabytes {
				return fmt.Errorf("the agent has %d MB, want at most %d", own, megabytes)
			}
			return nil
		})
	})
	step("the end of the agent", func() { agent.stop(t) })
	step("teardown", func() { server.succeed(t, "teardown") })
}

// ownMegabytes returns RssAnon of a process, see proc_pid_status(5): without the pages of
// the program, which the kernel may drop at any time.
func ownMegabytes(t *testing.T, pid int) int {
	t.Helper()
	status := testkit.ReadFile(t, fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(status, "RssAnon:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes / 1024
}
