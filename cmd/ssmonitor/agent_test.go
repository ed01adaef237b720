package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/presence"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// TestTextfileBetweenSaves sends traffic that the agent does not save for an hour.
// The textfile keeps the totals of the last save meanwhile, until a reading fails.
func TestTextfileBetweenSaves(t *testing.T) {
	p := newPlace(t)
	p.setup()
	path := filepath.Join(p.directory, "ssmonitor.prom")
	p.agent(p.socket, "--save-interval", "1h", "--textfile", path)
	connection, err := net.Dial("udp", "127.0.0.1:20000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	for range 20 {
		_, _ = connection.Write(make([]byte, 100)) // refused now and then: nobody listens
		time.Sleep(50 * time.Millisecond)
		if content, err := os.ReadFile(path); err != nil || !strings.Contains(string(content), "ssmonitor_port_bytes_total") {
			t.Fatalf("got %v and\n%s", err, content)
		}
	}
	p.nft("delete table inet ssmonitor; add table inet ssmonitor") // which is not the agent's
	testkit.Eventually(t, 10*time.Second, func() error {
		content, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(content), "\nssmonitor_read_success 0\n") {
			err = fmt.Errorf("a reading that fails does not show:\n%s", content)
		}
		return err
	})
	p.nft("delete table inet ssmonitor")
	testkit.Eventually(t, 10*time.Second, func() error { // the agent ends well
		_, err := os.Stat(p.csv)
		return err
	})
}

// TestTextfileWhileSavesFail has a full disk under the totals: the textfile has no
// totals, which may be lost again, and says so.
func TestTextfileWhileSavesFail(t *testing.T) {
	p := newPlace(t)
	p.setup()
	table := p.table()
	log := newLog(io.Discard)
	a := &agent{
		log: log, interval: time.Second, limits: &limitCheck{}, notifier: &notifier{send: func(string) {}},
		month:   &monthUsage{calendar: usage.Calendar{Zone: time.UTC, MonthDay: 1}, history: &fakeHistory{}, now: time.Now},
		meter:   accounting.NewMeter(accounting.MeterOptions{Source: table, Store: refusing{}, Log: log}),
		metrics: metricsOptions{textfile: filepath.Join(p.directory, "ssmonitor.prom")},
	}
	a.openSockets(nft.HookContainer) // none
	a.openTextfile(a.newMetrics())
	if err := a.meter.SetPorts(accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP}}); err != nil {
		t.Fatal(err)
	}
	a.tick(t.Context())
	page, err := os.ReadFile(a.metrics.textfile)
	if err != nil || !strings.Contains(string(page), "\nssmonitor_save_success 0\n") || strings.Contains(string(page), "ssmonitor_port_bytes_total") {
		t.Errorf("got %v and\n%s", err, page)
	}
}

// TestAgentOpensNoSourceOfTheSettings has settings with sources that would be
// errors: beside --ports they are for setup.
func TestAgentOpensNoSourceOfTheSettings(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket, "--config", writeSettings(t, "shadowsocks: [/nowhere]\nserver-config: [/nowhere]\nport: [nothing]\n"))
}

// TestSourcesWithPasswordsAreNotDumped asks the kernel whether this process may
// dump core. The test restores that.
func TestSourcesWithPasswordsAreNotDumped(t *testing.T) {
	dumpable := func() int {
		t.Helper()
		value, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	before := dumpable()
	defer func() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0) }()
	for arguments, want := range map[string]int{
		"--port 20000": 1, "--shadowsocks /a.json": 0, "--server-config /a.json": 0, "--ports /list --server-config /a.json": 0,
	} {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		command := runCommand()
		command.Action = func(c *cli.Context) error {
			_, err := runSources(c)
			return err
		}
		app := &cli.App{Commands: []*cli.Command{command}}
		if err := app.RunContext(t.Context(), append([]string{"ssmonitor", "run"}, strings.Fields(arguments)...)); err != nil {
			t.Fatal(err)
		}
		if got := dumpable(); got != want {
			t.Errorf("%s: got dumpable %d, want %d", arguments, got, want)
		}
	}
}

// TestOtherListByARelativePath has an agent that follows the list.
func TestOtherListByARelativePath(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket)
	t.Chdir(p.directory)
	agent, err := presence.Find("")
	if err != nil {
		t.Fatal(err)
	}
	if note, err := otherList(agent, filepath.Base(p.list)); note != nil || err != nil {
		t.Errorf("of the agent's list: got %v, %v", note, err)
	}
	if note, err := otherList(agent, "another"); note == nil || err != nil {
		t.Errorf("of another list: got %v, %v, want a note", note, err)
	}
}

// TestHealthNamesWhyNothingIsRepaired has a table that can be read.
func TestHealthNamesWhyNothingIsRepaired(t *testing.T) {
	p := newPlace(t)
	p.setup()
	meter := accounting.NewMeter(accounting.MeterOptions{Source: unrepairable{p.table()}, Log: newLog(io.Discard)})
	_, _ = meter.Tick()
	if err := meter.Status().LastError; err != nil {
		t.Fatal(err)
	}
	if got := (meterSource{meter: meter}).Health(); !errors.Is(got.Err, syscall.ENOBUFS) {
		t.Errorf("got %v, want %v", got.Err, syscall.ENOBUFS)
	}
}
