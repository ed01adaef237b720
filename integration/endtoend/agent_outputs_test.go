package endtoend_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNamedListBesidePorts gives the agent both: it counts their union.
func TestNamedListBesidePorts(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.setup(t, "--port", "20000")
	agent := server.startCounting(t, "--list", server.list, "--port", "20005")
	server.setup(t, "--port", "20001")
	agent.waitServing(t, 20001, 20005)
	agent.stop(t)
}

// TestFailedReadingRemovesTheRates replaces the table by one that is not ours: the
// rates are out of date then, so there is no file. It comes back with the table.
func TestFailedReadingRemovesTheRates(t *testing.T) {
	require(t, "curl")
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000")
	server.nft(t, "delete table inet ssmonitor\nadd table inet ssmonitor\n")
	eventually(t, func() error {
		agent.mustRun(t)
		if _, err := os.Stat(agent.csv); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the file is still there: %w", err)
		}
		return nil
	})
	code := server.run(t, "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}",
		"--unix-socket", server.socket(), "http://ssmonitor/healthz")
	if code != "503" {
		t.Errorf("without a reading /healthz answers with %s, want 503", code)
	}
	server.nft(t, "delete table inet ssmonitor\n")
	agent.waitServing(t, 20000)
	agent.stop(t)
}

// systemd is a socket that receives what sd_notify(3) sends.
type systemd struct{ *net.UnixConn }

func (p product) listenAsSystemd(t *testing.T) systemd {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(p.directory, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return systemd{socket}
}

// wait waits for a message that matches, and returns its submatches.
func (s systemd) wait(t *testing.T, pattern string) []string {
	t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var said []string
	for message := make([]byte, 4096); ; {
		n, err := s.Read(message)
		if err != nil {
			t.Fatalf("%v; want %s in %q", err, pattern, said)
		}
		said = append(said, string(message[:n]))
		if found := regexp.MustCompile(pattern).FindStringSubmatch(said[len(said)-1]); found != nil {
			return found
		}
	}
}

// TestStatusTellsInFromOut sends to a port and not from it, and reads the status
// as systemd does.
func TestStatusTellsInFromOut(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	socket := server.listenAsSystemd(t)
	server.setup(t, "--port", "20000")
	const perSecond, payload = 200, 972
	sender := server.startSending(t, sending{to: "127.0.0.1:20000", perSecond: perSecond, size: payload})
	command := server.ssmonitor(nil, "run", "--interval", "2s", "--list", server.list)
	command.Env = append(command.Env, "NOTIFY_SOCKET="+socket.LocalAddr().String())
	agent := agent{server, start(t, command)}
	socket.wait(t, "READY=1")
	const kilobits = perSecond * (payload + 20 + 8) * 8 / 1000
	status := socket.wait(t, `STATUS=counting 1 port, in (\d+) kbit/s, out (\d+) kbit/s`)
	if in, _ := strconv.Atoi(status[1]); in < kilobits*8/10 || in > kilobits*12/10 || status[2] != "0" {
		t.Errorf("%d kbit/s are sent to the port, and nothing from it, and the status is %q", kilobits, status[0])
	}
	sender.stop(t)
	agent.stop(t)
	socket.wait(t, "STOPPING=1")
}

// TestTeardownStopsCountingFirst watches what teardown changes: the chains go in a
// transaction before that of the table, so that what is read in between is all.
func TestTeardownStopsCountingFirst(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.setup(t, "--port", "20000")
	monitor := begin(t, server.command("nft", "monitor"))
	server.nft(t, "add table inet marker\n")
	eventually(t, func() error {
		server.nft(t, "add table inet marker\ndelete table inet marker\n")
		if !strings.Contains(monitor.stdout.String(), "marker") {
			return errors.New("nft monitor prints nothing yet")
		}
		return nil
	})
	server.succeed(t, "teardown")
	const deleted = "delete table inet ssmonitor\n"
	monitor.waitShowing(t, deleted)
	before, _, _ := strings.Cut(monitor.stdout.String(), deleted)
	for _, chain := range []string{"input", "output"} {
		_, after, found := strings.Cut(before, "delete chain inet ssmonitor "+chain+"\n")
		if !found || !strings.Contains(after, "# new generation") {
			t.Errorf("chain %s is not deleted in a transaction of its own:\n%s", chain, before)
		}
	}
	monitor.signal(os.Interrupt)
	monitor.wait(t)
}
