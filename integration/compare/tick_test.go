package compare_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// activePorts is how many ports get a packet in every interval, at most.
const activePorts = 100

// measureTicks measures the agent and the scripts at the same time, each in a
// namespace of its own, since most of the time they wait.
func (c *comparison) measureTicks(t *testing.T, ports int) {
	var mutex sync.Mutex
	record := func(t *testing.T, alternative string, got figures, err error) {
		mutex.Lock()
		defer mutex.Unlock()
		if c.add(t, row{perTick, alternative, ports, 0, got.Nanoseconds, ""}, err) {
			c.add(t, row{resident, alternative, ports, 0, got.Resident, ""}, nil)
			c.add(t, row{anonymous, alternative, ports, 0, got.Anonymous, ""}, nil)
		}
	}
	t.Run(fmt.Sprintf("ticks/%d", ports), func(t *testing.T) {
		t.Run(ssmonitor, func(t *testing.T) {
			t.Parallel()
			testkit.NetworkNamespace(t)
			record(t, ssmonitor, tickAgent(t, ports), nil)
		})
		for _, a := range alternatives {
			if a.name != legacyScript && a.name != nftScript {
				continue
			}
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				testkit.NetworkNamespace(t)
				got, err := tickScript(t, a, ports)
				record(t, a.name, got, err)
			})
		}
	})
}

func tickScript(t *testing.T, a alternative, ports int) (figures, error) {
	if err := a.install(t, ports, *limit); err != nil {
		return figures{}, err
	}
	sendTraffic(t, ports)
	reader, _, _ := strings.Cut(a.name, " ")
	return runScript(2*(*limit)+2*time.Duration(*ticks+2)*(*interval), reader, "tick", strconv.Itoa(*ticks),
		fmt.Sprint(interval.Seconds()), filepath.Join(t.TempDir(), "ssmonitor.csv"))
}

// tickAgent runs the agent with CSV, socket and saving.
func tickAgent(t *testing.T, ports int) (got figures) {
	directory := t.TempDir()
	csv := filepath.Join(directory, "ssmonitor.csv")
	list := filepath.Join(directory, "ports")
	lines := strings.Trim(strings.ReplaceAll(fmt.Sprint(portNumbers(ports)), " ", "\n"), "[]")
	if err := os.WriteFile(list, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	agent := exec.Command(filepath.Join(testkit.SandboxDirectory(), "ssmonitor"), "run", "--config", "none", "--list", list,
		"--interval", interval.String(), "--csv", csv, "--socket", filepath.Join(directory, "ssmonitor.sock"),
		"--state", filepath.Join(directory, "state"))
	agent.Stdout, agent.Stderr = &log, &log
	agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	sendTraffic(t, ports)
	testkit.Eventually(t, 10*time.Second+2*(*interval), func() error {
		_, err := os.Stat(csv)
		return err
	})
	// Half an interval after a tick, so that the last one is over.
	time.Sleep(*interval / 2)
	spent := testkit.ProcessorTime(t, agent.Process.Pid)
	time.Sleep(time.Duration(*ticks) * (*interval))
	got.Nanoseconds = float64(testkit.ProcessorTime(t, agent.Process.Pid)-spent) / float64(*ticks)
	got.Resident, got.Anonymous = memory(t, agent.Process.Pid)
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent: %v\n%s", err, &log)
	}
	return got
}

// memory returns the resident memory of a process in bytes.
func memory(t *testing.T, process int) (all, anonymous float64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kilobytes); err == nil {
			all = kilobytes * 1024
		}
		if _, err := fmt.Sscanf(line, "RssAnon: %f kB", &kilobytes); err == nil {
			anonymous = kilobytes * 1024
		}
	}
	return all, anonymous
}

// sendTraffic sends a packet to some ports in every interval, until the test ends.
func sendTraffic(t *testing.T, ports int) {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-stopped
		_ = socket.Close()
	})
	numbers := portNumbers(min(ports, activePorts))
	beat := time.NewTicker(*interval)
	go func() {
		defer close(stopped)
		defer beat.Stop()
		for {
			for _, port := range numbers {
				_, _ = socket.WriteToUDP(make([]byte, 100), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}) // nobody listens
			}
			select {
			case <-stop:
				return
			case <-beat.C:
			}
		}
	}()
}
