package endtoend_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/health"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/api"
)

// The ports of these tests are counted for UDP alone, so that who is connected to
// them is unknown.
var topPorts = []string{"--port", "20000/udp=王小明的手機", "--port", "20001/udp=علی-رضا", "--port", "20002/udp=👩‍👩‍👧-family"}

func manyTopPorts() []string {
	var flags []string
	for i := range 1000 {
		flags = append(flags, "--port", fmt.Sprintf("%d/udp=client-%03d", 20000+i, i))
	}
	return flags
}

func TestTopInATerminal(t *testing.T) {
	require(t, "tmux")
	t.Parallel()
	for _, test := range []struct {
		name        string
		ports       []string
		first, last string // clients
	}{
		{"3", topPorts, "علی-رضا", "👩‍👩‍👧-family"},
		{"1000", manyTopPorts(), "client-000", "client-999"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			agent := server.startAgent(t, append(test.ports, "--interval", "500ms")...)
			term := newTerminal(t, server, 80, 24)
			before := term.state(t)
			agent.waitSaying(t, "counting")
			term.top(t, "--interval", "500ms")
			ready := []string{"in 0 B/s  out 0 B/s", test.first, "0 B       0 B       0 B       0 B", "q quit"}
			small := steady(term.waitShowing(t, ready...))
			testkit.Golden(t, "top-"+test.name+"-80x24.golden", small)

			term.tmux(t, "resize-window", "-x", "200", "-y", "50")
			eventually(t, func() error {
				if shown := strings.TrimRight(term.shown(t), "\n"); strings.Count(shown, "\n") != 49 {
					return fmt.Errorf("not as high as the window:\n%s", shown)
				}
				return nil
			})
			testkit.Golden(t, "top-"+test.name+"-200x50.golden", steady(term.shown(t)))

			term.press(t, "End")
			term.waitShowing(t, ">"+test.last)
			term.press(t, "Escape") // selects nothing
			term.tmux(t, "resize-window", "-x", "80", "-y", "24")
			eventually(t, func() error {
				if again := steady(term.shown(t)); again != small {
					return fmt.Errorf("after two resizes:\n%s\nbefore:\n%s", again, small)
				}
				return nil
			})
			term.press(t, "End", "Enter")
			term.waitShowing(t, "PROTOCOL", "HOUR", test.last)
			term.press(t, "q", "q")
			eventually(t, func() error {
				if after := term.state(t); after != before {
					return fmt.Errorf("the terminal is\n%s\nand was\n%s", after, before)
				}
				return nil
			})
		})
	}
}

// TestTopOutlivesTheAgent kills the agent and starts it again.
func TestTopOutlivesTheAgent(t *testing.T) {
	require(t, "tmux")
	t.Parallel()
	server := newServer(t)
	arguments := append(topPorts, "--port", "20003/udp=alice")
	term := newTerminal(t, server, 80, 24)
	term.top(t, "--interval", "100ms")
	term.waitShowing(t, "the agent is not running", "systemctl start ssmonitor", "in -/s  out -/s")
	address := "127.0.0.1:20003"
	server.startSending(t, sending{from: address, to: address, count: 1_000_000, perSecond: 1000, size: 100}) // 128 kB/s
	rates := regexp.MustCompile(`alice +(\d\d\d?\.\d\d kB) +(\d\d\d?\.\d\d kB) `)
	var frames []string
	for range 2 {
		agent := server.startAgent(t, arguments...)
		eventually(t, func() error {
			shown := term.shown(t)
			frames = append(frames, shown)
			if !rates.MatchString(shown) {
				agent.mustRun(t)
				return fmt.Errorf("the rates are not shown:\n%s", shown)
			}
			return nil
		})
		agent.kill()
		term.waitShowing(t, "the agent is not running", "in -/s  out -/s")
		for range 5 {
			shown := term.shown(t)
			if regexp.MustCompile(`\d B |\dB`).MatchString(shown) || !strings.Contains(shown, "alice") {
				t.Errorf("a number of an agent that is not running:\n%s", shown)
			}
		}
	}
	for _, frame := range frames {
		for _, rate := range regexp.MustCompile(`alice +(-|[\d.]+ .?B) `).FindAllStringSubmatch(frame, -1) {
			number, unit, _ := strings.Cut(rate[1], " ")
			value, err := strconv.ParseFloat(number, 64)
			if rate[1] != "-" && (err != nil || unit == "MB" || value > 500) {
				t.Errorf("a wrong rate, %s:\n%s", rate[1], frame)
			}
		}
	}
	if shown := term.shown(t, "-S", "-"); strings.Contains(shown, "goroutine") {
		t.Errorf("a stack trace:\n%s", shown)
	}
}

// TestTopShowsRootWhoIsConnected opens the view of a client, as root and as a
// member of the socket's group.
func TestTopShowsRootWhoIsConnected(t *testing.T) {
	require(t, "tmux", "setpriv")
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000/tcp=alice")
	server.serve(t, 20000)
	server.connect(t, []string{"127.0.0.2"}, 2, "127.0.0.1:20000")
	server.connect(t, []string{"127.0.0.3"}, 1, "127.0.0.1:20000")

	term := newTerminal(t, server, 80, 24)
	term.top(t, "--interval", "500ms")
	term.waitShowing(t, "3 connections", "alice")
	term.press(t, "Down", "Enter")
	shown := term.waitShowing(t, "127.0.0.2", "127.0.0.3")
	if strings.Index(shown, "127.0.0.2") > strings.Index(shown, "127.0.0.3") {
		t.Errorf("the address with the most connections is not the first:\n%s", shown)
	}
	term.press(t, "q", "q")
	term.waitIdle(t)

	// With the group of the socket, root's here, and no user's rights.
	term.run(t, "clear; setpriv --reuid 65534 --regid 0 --clear-groups "+builtProgram("ssmonitor")+" top --interval 500ms")
	term.waitShowing(t, "3 connections", "alice")
	term.press(t, "Down", "Enter")
	term.waitShowing(t, "PROTOCOL", "HOUR")
	for range 2 { // refreshes
		term.waitTick(t)
	}
	if shown := term.shown(t); strings.Contains(shown, "127.0.0.") {
		t.Errorf("the addresses are shown to another user:\n%s", shown)
	}
	term.press(t, "q", "q")

	elsewhere := newTerminal(t, product{newNamespace(t), server.directory, server.csv, server.list}, 80, 24)
	elsewhere.top(t, "--interval", "500ms")
	elsewhere.waitShowing(t, "3 connections", "alice")
	elsewhere.press(t, "Down", "Enter")
	elsewhere.waitShowing(t, "in another network namespace")
	elsewhere.press(t, "q", "q")
	agent.stop(t)
}

func (a failingAgent) Report(context.Context) (*accounting.Report, error) {
	if *a.requests++; *a.requests > 3 {
		panic("on purpose, in a request")
	}
	return &accounting.Report{Time: time.Now(), Ports: []accounting.PortReport{{Port: accounting.Port{Number: 1, Protocols: accounting.OnlyUDP, Name: "somebody"}}}}, nil
}

func (failingAgent) Problems(context.Context) ([]health.Problem, error) { return nil, nil }

func (failingAgent) Usage(context.Context, url.Values) (*api.Usage, error) {
	return nil, errors.New("no usage")
}

// TestTopOnOldTerminals looks at what is written for terminals of few abilities.
func TestTopOnOldTerminals(t *testing.T) {
	require(t, "tmux")
	t.Parallel()
	server := newServer(t)
	server.startAgent(t, append(topPorts, "--port", "20003/udp=alice")...).waitServing(t, 20000, 20001, 20002, 20003)
	const color = "\x1b[36m"
	for _, test := range []struct {
		name        string
		environment []string
		colored     bool
		sparkline   string
		names       string
	}{
		{"xterm", []string{"TERM=xterm-256color"}, true, "▁", "王小明的手機"},
		{"no colour", []string{"TERM=xterm-256color", "NO_COLOR=1"}, false, "▁", "王小明的手機"},
		{"vt100", []string{"TERM=vt100"}, false, "_", "王小明的手機"},
		{"console", []string{"TERM=linux"}, true, "_", "王小明的手機"},
		{"C locale", []string{"TERM=xterm", "LC_ALL=C"}, true, "_", `\u738b\u5c0f\u660e\u7684\u624b\~`},
		{"no locale", []string{"TERM=xterm", "LC_ALL= LANG="}, true, "_", `\u738b\u5c0f\u660e\u7684\u624b\~`},
		{"other locale", []string{"TERM=xterm", "LC_ALL=zh_CN.GB18030"}, true, "_", `\u738b\u5c0f\u660e\u7684\u624b\~`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			term := newTerminal(t, server, 100, 24)
			term.run(t, strings.Join(test.environment, " ")+" "+builtProgram("ssmonitor")+" top --interval 100ms")
			term.waitShowing(t, "alice", test.sparkline+"\n", test.names, "q quit")
			if raw := term.tmux(t, "capture-pane", "-p", "-e"); strings.Contains(raw, color) != test.colored {
				t.Errorf("colours:\n%q", raw)
			}
			term.press(t, "Down")
			term.waitShowing(t, "\n>") // without the colours of the selection too
			term.press(t, "q")
			term.waitShowing(t, "#")
		})
	}
	t.Run("dumb", func(t *testing.T) {
		t.Parallel()
		term := newTerminal(t, server, 160, 24)
		term.run(t, "TERM=dumb "+builtProgram("ssmonitor")+" top; echo ended with $?")
		term.waitShowing(t, "--once", "--json", "ended with 2")
	})
}

func TestTopForScripts(t *testing.T) {
	require(t, "setpriv")
	t.Parallel()
	server := newServer(t)
	server.fail(t, 1, []string{"the agent is not running", "systemctl start ssmonitor"}, "top", "--once")
	server.fail(t, 1, []string{"the agent is not running"}, "top", "--once", "--json")
	stream := start(t, server.ssmonitor(nil, "top", "--json", "--interval", "100ms"))
	stream.waitSaying(t, "the agent is not running")
	server.startCounting(t, append(topPorts, "--save-interval", "0s", "--warn", "1kB")...)
	server.sendToItself(t, 20000, 10)
	eventually(t, func() error {
		table := server.succeed(t, "top", "--once")
		if !regexp.MustCompile(`王小明的手機 .* 1\.28 kB  1\.28 kB 128\.0%`).MatchString(table) && !regexp.MustCompile(`王小明的手機 .* 2\.56 kB +2\.56 kB 256\.0%`).MatchString(table) {
			return fmt.Errorf("the usage is not shown:\n%s", table)
		}
		return nil
	})
	var line struct {
		Clients []struct {
			Client string
			Ports  []int
			Today  int `json:"today_bytes"`
		}
	}
	if err := json.Unmarshal([]byte(server.succeed(t, "top", "--once", "--json")), &line); err != nil {
		t.Fatal(err)
	}
	if len(line.Clients) != 3 || line.Clients[0].Ports == nil {
		t.Errorf("got %+v", line)
	}
	eventually(t, func() error {
		lines := 0
		for scan := bufio.NewScanner(strings.NewReader(stream.stdout.String())); scan.Scan(); lines++ {
			if !json.Valid(scan.Bytes()) {
				return fmt.Errorf("not JSON: %s", scan.Text()) // or not yet complete
			}
		}
		if lines < 5 {
			return fmt.Errorf("%d lines", lines)
		}
		return nil
	})
	stream.signal(syscall.SIGTERM)
	stream.endsWith(t, 0, "the agent answers again")
	start(t, server.ssmonitor(asNobody(""), "top", "--once", "--socket", server.socket())).endsWith(t, 1, "permission denied", "usermod --append --groups ssmonitor")
}

// TestTopIsCheap measures the processor time of the agent and of the table with a
// refresh per second.
func TestTopIsCheap(t *testing.T) {
	require(t, "tmux")
	t.Parallel()
	const (
		duration = 10 * time.Second
		limit    = 0.10 // of a core, on a machine that runs other tests too
	)
	server := newServer(t)
	agent := server.startAgent(t, append(manyTopPorts(), "--interval", "2s")...)
	term := newTerminal(t, server, 80, 24)
	term.top(t, "--interval", "1s")
	term.waitShowing(t, "client-000", "in 0 B/s")
	table := term.child(t).Pid
	agentBefore, tableBefore := testkit.ProcessorTime(t, agent.command.Process.Pid), testkit.ProcessorTime(t, table)
	time.Sleep(duration)
	ofAgent := testkit.ProcessorTime(t, agent.command.Process.Pid) - agentBefore
	ofTable := testkit.ProcessorTime(t, table) - tableBefore
	share := float64(ofAgent+ofTable) / float64(duration)
	t.Logf("1,000 ports, a refresh per second: agent %s, top %s in %s, together %.1f%% of a core", ofAgent, ofTable, duration, 100*share)
	if share > limit {
		t.Errorf("%.1f%% of a core, want at most %.0f%%", 100*share, 100*limit)
	}
}
