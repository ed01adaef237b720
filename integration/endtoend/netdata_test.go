package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
)

// The charts of the counted port.
const (
	trafficChart = "ssmonitor.port_20000_traffic"
	packetsChart = "ssmonitor.port_20000_packets"
	addressChart = "ssmonitor.port_20000_addresses"
	totalChart   = "ssmonitor.total_traffic"
)

// TestNetdataShowsSteadyTraffic has the agent read every two seconds and
// Netdata every second. Every second must still show the true rate.
func TestNetdataShowsSteadyTraffic(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	const seconds = 20
	server := newServer(t)
	agent := server.startAgent(t, "--interval", "2s", "--port", "20000=Alice", "--port", "20001")
	agent.waitSaying(t, "counting")
	traffic := startSteadyTraffic(t, server.namespace)
	netdata := startNetdata(t, server)

	begin := netdata.waitSteady(t, traffic.kilobits)
	for chart, truth := range map[string]float64{
		trafficChart: traffic.kilobits,
		packetsChart: traffic.packets,
		totalChart:   traffic.kilobits,
	} {
		netdata.waitConsecutive(t, chart, begin, seconds, truth)
	}

	sent := uint64(traffic.stop(t))
	want := accounting.Count{Packets: sent, Bytes: sent * traffic.datagram}
	for _, total := range []struct {
		chart string
		value uint64
	}{{trafficChart, want.Bytes}, {packetsChart, want.Packets}, {totalChart, want.Bytes}} {
		for _, dimension := range []string{"received", "sent"} {
			eventually(t, func() error {
				collected, err := netdata.collected(total.chart, dimension)
				if err == nil && collected != total.value {
					err = fmt.Errorf("%s has collected %s %d, sent were %d", total.chart, dimension, collected, total.value)
				}
				return err
			})
		}
	}

	wantCharts := map[string]chart{
		trafficChart: {Context: "ssmonitor.port_traffic", Units: "kilobits/s", ChartType: "area", Labels: map[string]string{"port": "20000", "name": "Alice"}},
		packetsChart: {Context: "ssmonitor.port_packets", Units: "packets/s", ChartType: "line", Labels: map[string]string{"port": "20000", "name": "Alice"}},
		addressChart: {Context: "ssmonitor.port_addresses", Units: "addresses", ChartType: "line", Labels: map[string]string{"port": "20000", "name": "Alice"}},
		totalChart:   {Context: "ssmonitor.traffic", Units: "kilobits/s", ChartType: "area"},
	}
	for id, want := range wantCharts {
		got, err := netdata.chart(id)
		if err != nil {
			t.Fatal(err)
		}
		if got.Context != want.Context || got.Units != want.Units || got.ChartType != want.ChartType {
			t.Errorf("chart %s is %+v, want %+v", id, got, want)
		}
		for label, value := range want.Labels {
			if got.Labels[label] != value {
				t.Errorf("chart %s has the label %s=%q, want %q", id, label, got.Labels[label], value)
			}
		}
	}
	agent.stop(t)
}

// collected returns the total that the plugin delivered last.
func (n netdata) collected(chart, dimension string) (uint64, error) {
	metrics, err := n.getText("allmetrics?format=prometheus&source=as-collected")
	if err != nil {
		return 0, err
	}
	line := regexp.MustCompile(fmt.Sprintf(`(?m)^netdata_ssmonitor_\w+\{chart="%s",[^}]*dimension="%s"[^}]*\} (\d+)`, regexp.QuoteMeta(chart), dimension))
	match := line.FindStringSubmatch(metrics)
	if match == nil {
		return 0, fmt.Errorf("%s of %s is not among the metrics:\n%s", dimension, chart, metrics)
	}
	return strconv.ParseUint(match[1], 10, 64)
}

// netdataContext is a context as Netdata's API describes it: what newer versions show as
// the heading of all its charts.
type netdataContext struct {
	Title, Units, Family string
	ChartType            string `json:"chart_type"`
	Charts               map[string]struct {
		Labels map[string]string `json:"labels"`
	}
}

func (n netdata) contexts() (map[string]netdataContext, error) {
	var answer struct{ Contexts map[string]netdataContext }
	err := n.get("contexts?options=all", &answer)
	return answer.Contexts, err
}

// TestNetdataFollowsThePorts adds, renames and removes a port. No context carries the
// identity of one port.
func TestNetdataFollowsThePorts(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	server := newServer(t)
	agent := server.startAgent(t, "--list", server.list)
	server.setup(t, "--port", "20000=alice")
	netdata := startNetdata(t, server)
	headings := map[string]netdataContext{
		"ssmonitor.port_addresses": {Title: "Addresses connected to a port", Units: "addresses", Family: "ports", ChartType: "line"},
		"ssmonitor.traffic":        {Title: "Traffic of all ports", Units: "kilobits/s", Family: "all ports", ChartType: "area"},
		"ssmonitor.port_traffic":   {Title: "Traffic of a port", Units: "kilobits/s", Family: "ports", ChartType: "area"},
		"ssmonitor.port_packets":   {Title: "Packets of a port", Units: "packets/s", Family: "ports", ChartType: "line"},
	}
	steps := []struct {
		ports []string
		names map[int]string // of all ports that Netdata is to show
	}{
		{[]string{"--port", "20000=alice"}, map[int]string{20000: "alice"}},
		{[]string{"--port", "20000=alice", "--port", "20001=bob"}, map[int]string{20000: "alice", 20001: "bob"}},
		{[]string{"--port", "20000=alice", "--port", "20001=carol"}, map[int]string{20000: "alice", 20001: "carol"}},
		{[]string{"--port", "20001=carol"}, map[int]string{20001: "carol"}},
		{[]string{"--port", "20000=dave", "--port", "20001=carol"}, map[int]string{20000: "dave", 20001: "carol"}},
	}
	for _, step := range steps {
		server.setup(t, step.ports...)
		eventually(t, func() error {
			contexts, err := netdata.contexts()
			if err != nil {
				return err
			}
			for id, want := range headings {
				got := contexts[id]
				if got.Charts = nil; !reflect.DeepEqual(got, want) {
					return fmt.Errorf("with %v the context %s is %+v, want %+v", step.ports, id, got, want)
				}
			}
			for port := 20000; port <= 20001; port++ {
				id := fmt.Sprintf("ssmonitor.port_%d_traffic", port)
				name, wanted := step.names[port]
				if listed := netdata.hasChart(t, id); listed != wanted {
					return fmt.Errorf("with %v Netdata lists %s: %t", step.ports, id, listed)
				}
				if !wanted {
					continue
				}
				c, err := netdata.chart(id)
				if err != nil {
					return err
				}
				if other := contexts["ssmonitor.port_traffic"].Charts[id].Labels["name"]; c.Labels["name"] != name || other != name {
					return fmt.Errorf("with %v port %d is called %q, and in its context %q", step.ports, port, c.Labels["name"], other)
				}
			}
			return nil
		})
	}
	agent.stop(t)
}

// TestNetdataWithoutTheAgentShowsAGap stops and kills the agent under steady
// traffic.
func TestNetdataWithoutTheAgentShowsAGap(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	const away = 3 // seconds without the agent
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000")
	traffic := startSteadyTraffic(t, server.namespace)
	netdata := startNetdata(t, server)
	begin := netdata.waitSteady(t, traffic.kilobits)
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		agent.signal(signal)
		agent.wait(t)
		stopped := time.Now()
		eventually(t, func() error {
			if stoppedFor := time.Since(stopped); stoppedFor < away*time.Second {
				return fmt.Errorf("the agent has been stopped for only %s", stoppedFor)
			}
			return nil
		})
		agent = server.startAgent(t, "--port", "20000")
		netdata.waitSteady(t, traffic.kilobits)
		points, err := netdata.points(trafficChart, begin)
		if err != nil {
			t.Fatal(err)
		}
		gaps := 0
		for _, p := range points {
			switch {
			case p.received == nil || p.sent == nil:
				gaps++
			case *p.received <= 0 || *p.sent >= 0:
				t.Errorf("after %s there is a false zero: %s", signal, p)
			case *p.received > 1.1*traffic.kilobits || *p.sent < -1.1*traffic.kilobits:
				t.Errorf("after %s there is a spike: %s, the truth is %.0f", signal, p, traffic.kilobits)
			}
		}
		if gaps < away-1 {
			t.Errorf("after %s there are %d gaps, want at least %d: %v", signal, gaps, away-1, points)
		}
		begin = time.Unix(points[len(points)-1].time, 0)
	}
	traffic.stop(t)
	agent.stop(t)
}

// TestModulesOfTheCSVShowTheSame runs the module for charts.d and one for
// python.d, as it was written for the CSV of the blog's script.
func TestModulesOfTheCSVShowTheSame(t *testing.T) {
	require(t, "netdata", "curl", "ss", installedNetdata+"/plugins.d/charts.d.plugin", installedNetdata+"/plugins.d/python.d.plugin")
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--interval", "1s", "--port", "20000")
	traffic := startSteadyTraffic(t, server.namespace)
	netdata := newNetdata(t, server)
	netdata.addModules(t, agent.csv)
	netdata = netdata.launch(t)
	for chart, truth := range map[string]float64{
		"ssmonitor_csv.port_20000_traffic": traffic.kilobits,
		"ssmonitor_csv.port_20000_packets": traffic.packets,
		"shadowsocks_local.20000_bytes":    traffic.kilobits / 8, // in kilobytes
		"shadowsocks_local.20000_packets":  traffic.packets,
	} {
		begin := time.Now()
		eventually(t, func() error {
			points, err := netdata.points(chart, begin)
			if err != nil {
				return err
			}
			if len(points) == 0 || !points[len(points)-1].within(0.05, truth) {
				return fmt.Errorf("%s shows %v, want %.0f", chart, points, truth)
			}
			return nil
		})
	}
	traffic.stop(t)
	agent.stop(t)
}

// TestPluginOutsideTheGroupReportsIt runs the plugin as a user who can't read
// from the socket.
func TestPluginOutsideTheGroupReportsIt(t *testing.T) {
	require(t, "setpriv")
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000")
	command := server.ssmonitor(asNobody(""), "netdata", "--socket", server.socket(), "1")
	stdin, err := command.StdinPipe() // as Netdata's: open, and its end is the plugin's
	if err != nil {
		t.Fatal(err)
	}
	plugin := start(t, command)
	eventually(t, func() error {
		if lines := strings.Count(plugin.stdout.String(), "\n"); lines < 3 {
			return fmt.Errorf("the plugin has written %d lines", lines)
		}
		return nil
	})
	if said := plugin.stderr.String(); !strings.Contains(said, "permission denied") || !strings.Contains(said, "group") || strings.Count(said, "\n") > 1 {
		t.Errorf("the plugin is to say once that the group is missing, and says:\n%s", said)
	}
	if written := plugin.stdout.String(); strings.Trim(written, "\n") != "" {
		t.Errorf("the plugin writes without any data:\n%s", written)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	plugin.endsWith(t, 0)
	if used := plugin.command.ProcessState.SystemTime() + plugin.command.ProcessState.UserTime(); used > time.Second {
		t.Errorf("the plugin has used the processor for %s", used)
	}
	agent.stop(t)
}

// TestPluginEndsWithNetdata stops, kills and restarts Netdata under a running
// agent.
func TestPluginEndsWithNetdata(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	server := newServer(t)
	agent := server.startAgent(t, "--port", "20000")
	traffic := startSteadyTraffic(t, server.namespace)
	netdata := startNetdata(t, server)
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		netdata.waitSteady(t, traffic.kilobits)
		if server.pluginProcesses(t) == 0 {
			t.Fatal("there is no process of the plugin: the test can't see it")
		}
		netdata.daemon.signal(signal)
		netdata.daemon.wait(t)
		ended := time.Now()
		eventually(t, func() error {
			if count := server.pluginProcesses(t); count > 0 {
				return fmt.Errorf("%d processes of the plugin are left", count)
			}
			return nil
		})
		if after := time.Since(ended); after > 2*time.Second {
			t.Errorf("after %s of Netdata the plugin lived on for %s", signal, after)
		}
		netdata = netdata.launch(t)
	}
	netdata.waitSteady(t, traffic.kilobits)
	traffic.stop(t)
	agent.stop(t)
}

// pluginProcesses counts the processes of the plugin in the namespace.
func (n namespace) pluginProcesses(t *testing.T) int {
	t.Helper()
	count := 0
	for pid := range strings.FieldsSeq(ip(t, "netns", "pids", string(n))) {
		line, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline")) // fails for one that just ended
		if err == nil && strings.Contains(string(line), "ssmonitor.plugin") {
			count++
		}
	}
	return count
}
