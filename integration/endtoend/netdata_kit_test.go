package endtoend_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// netdataSettings is the configuration of Netdata: one plugin, no collectors of
// its own, nothing outside its directory.
const netdataSettings = `
[global]
    run as user = root
    process scheduling policy = keep
    OOM score = keep
[directories]
    config = %[1]s/etc
    stock config = %[1]s/etc
    log = %[1]s/log
    web = /usr/share/netdata/web
    cache = %[1]s/cache
    lib = %[1]s/lib
    home = %[1]s/lib
    lock = %[1]s/lock
    plugins = "%[1]s/plugins.d"
[db]
    mode = ram
    retention = 600
    cleanup obsolete charts after secs = 10
[web]
    bind to = 127.0.0.1
    web server threads = 1
    web files owner = root
    web files group = root
[health]
    enabled = no
[plugins]
    proc = no
    diskspace = no
    cgroups = no
    tc = no
    idlejitter = no
    timex = no
    statsd = no
    netdata monitoring = no
    check for new plugins every = 5
[plugin:ssmonitor]
    command options = --socket %[2]s
`

// installedNetdata is where Debian's packages put Netdata's own plugins.
const installedNetdata = "/usr/lib/netdata"

const netdataPort = 19999

// netdata is a real Netdata that runs ssmonitor.plugin.
type netdata struct {
	namespace
	directory string
	daemon    *program
}

// startNetdata starts Netdata in the namespace of the agent.
func startNetdata(t *testing.T, ssmonitor product) netdata {
	t.Helper()
	return newNetdata(t, ssmonitor).launch(t)
}

// newNetdata prepares the directory of a Netdata.
func newNetdata(t *testing.T, ssmonitor product) netdata {
	t.Helper()
	directory := t.TempDir()
	for _, name := range []string{"etc", "log", "cache", "lib", "lock", "plugins.d"} {
		testkit.MakeDirectory(t, filepath.Join(directory, name))
	}
	settings := fmt.Sprintf(netdataSettings, directory, ssmonitor.socket())
	testkit.ReplaceFile(t, filepath.Join(directory, "etc", "netdata.conf"), settings)
	testkit.ReplaceFile(t, filepath.Join(directory, "etc", ".opt-out-from-anonymous-statistics"), "")
	if err := os.Symlink(builtProgram("ssmonitor"), filepath.Join(directory, "plugins.d", "ssmonitor.plugin")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Netdata's log of the plugin:\n%s", linesWith(t, filepath.Join(directory, "log", "error.log"), "ssmonitor"))
		}
	})
	return netdata{ssmonitor.namespace, directory, nil}
}

// addModules installs Netdata's plugins for bash and Python with a module each
// that reads the CSV.
func (n netdata) addModules(t *testing.T, csv string) {
	t.Helper()
	installed := map[string]string{ // by the name in the plugins' directory
		"charts.d.plugin":            "plugins.d/charts.d.plugin",
		"loopsleepms.sh.inc":         "plugins.d/loopsleepms.sh.inc",
		"python.d.plugin":            "plugins.d/python.d.plugin",
		"../python.d/python_modules": "python.d/python_modules",
	}
	for _, name := range []string{"charts.d", "python.d", "etc/charts.d", "etc/python.d"} {
		testkit.MakeDirectory(t, filepath.Join(n.directory, name))
	}
	for name, target := range installed {
		if err := os.Symlink(filepath.Join(installedNetdata, target), filepath.Join(n.directory, "plugins.d", name)); err != nil {
			t.Fatal(err)
		}
	}
	for target, source := range map[string]string{
		"charts.d/ssmonitor.chart.sh":   "../netdata/charts.d/ssmonitor.chart.sh",
		"python.d/shadowsocks.chart.py": "testdata/shadowsocks.chart.py",
	} {
		content := testkit.ReadFile(t, source)
		testkit.ReplaceFile(t, filepath.Join(n.directory, target), content)
	}
	for path, content := range map[string]string{
		"charts.d.conf":             "enable_all_charts=no\nssmonitor=yes\n",
		"charts.d/ssmonitor.conf":   "ssmonitor_csv=" + csv + "\n",
		"python.d.conf":             "enabled: yes\ndefault_run: no\nshadowsocks: yes\n",
		"python.d/shadowsocks.conf": "update_every: 1\nlocal:\n    csv: " + csv + "\n",
	} {
		testkit.ReplaceFile(t, filepath.Join(n.directory, "etc", path), content)
	}
}

// linesWith returns the lines of a file that have the word in them.
func linesWith(t *testing.T, path, word string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	var found strings.Builder
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, word) {
			found.WriteString(line)
		}
	}
	return found.String()
}

// launch starts Netdata, for the first time or again.
func (n netdata) launch(t *testing.T) netdata {
	t.Helper()
	command := n.command("netdata", "-D", "-p", strconv.Itoa(netdataPort), "-c", filepath.Join(n.directory, "etc", "netdata.conf"))
	command.Env = append(os.Environ(), "NETDATA_PIPENAME="+filepath.Join(n.directory, "ipc"))
	command.Stderr = io.Discard // its own log has all of it
	n.daemon = start(t, command)
	n.waitListening(t, netdataPort, "tcp")
	return n
}

// get requests a page of Netdata's API and decodes the response.
func (n netdata) get(path string, answer any) error {
	text, err := n.getText(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		return fmt.Errorf("Netdata's answer to %s: %w: %s", path, err, text)
	}
	return nil
}

func (n netdata) getText(path string) (string, error) {
	output, err := n.command("curl", "--silent", "--show-error", "--fail", "--noproxy", "*",
		fmt.Sprintf("http://127.0.0.1:%d/api/v1/%s", netdataPort, path)).Output()
	if err != nil {
		return "", fmt.Errorf("asking Netdata for %s: %w", path, err)
	}
	return string(output), nil
}

// chart is a chart as Netdata's API returns it.
type chart struct {
	Context, Units, Family string
	ChartType              string            `json:"chart_type"`
	Labels                 map[string]string `json:"chart_labels"`
}

func (n netdata) chart(id string) (chart, error) {
	var c chart
	err := n.get("chart?chart="+id, &c)
	return c, err
}

// hasChart reports whether Netdata lists the chart.
func (n netdata) hasChart(t *testing.T, id string) bool {
	t.Helper()
	var list struct{ Charts map[string]json.RawMessage }
	if err := n.get("charts", &list); err != nil {
		t.Fatal(err)
	}
	_, found := list.Charts[id]
	return found
}

// point is a second of a chart; nil is a gap.
type point struct {
	time           int64
	received, sent *float64
}

func (p point) String() string {
	if p.received == nil || p.sent == nil {
		return fmt.Sprintf("%d: gap", p.time)
	}
	return fmt.Sprintf("%d: %.1f %.1f", p.time, *p.received, *p.sent)
}

// points returns the seconds of a chart since a time, oldest first.
func (n netdata) points(chart string, since time.Time) ([]point, error) {
	var data struct {
		Labels []string
		Data   [][]*float64
	}
	if err := n.get(fmt.Sprintf("data?chart=%s&after=%d&format=json&options=nonzero,unaligned", chart, since.Unix()), &data); err != nil {
		return nil, err
	}
	var points []point
	for _, row := range slices.Backward(data.Data) {
		if len(row) != 3 || row[0] == nil {
			return nil, fmt.Errorf("a point of %s has the columns %v", chart, data.Labels)
		}
		// The first row is of the second before, and always a gap.
		if second := int64(*row[0]); second >= since.Unix() {
			points = append(points, point{second, row[1], row[2]})
		}
	}
	return points, nil
}

// steadyTraffic is a stream over loopback, the same in both directions, and the
// values that the charts must show for it.
type steadyTraffic struct {
	sender
	kilobits, packets float64 // per second
	datagram          uint64  // in bytes, from the IP header up
}

func startSteadyTraffic(t *testing.T, n namespace) steadyTraffic {
	t.Helper()
	const perSecond, payload = 500, 972
	address := fmt.Sprintf("127.0.0.1:%d", countedPort)
	const datagram = payload + 20 + 8 // with the headers of IPv4 and UDP
	return steadyTraffic{
		sender:   n.startSending(t, sending{from: address, to: address, perSecond: perSecond, size: payload}),
		kilobits: perSecond * datagram * 8 / 1000,
		packets:  perSecond,
		datagram: datagram,
	}
}

// within reports whether a point is near the true rate, received above and sent
// below zero.
func (p point) within(tolerance, truth float64) bool {
	near := func(value *float64, truth float64) bool {
		return value != nil && math.Abs(*value-truth) <= math.Abs(tolerance*truth)
	}
	return near(p.received, truth) && near(p.sent, -truth)
}

// waitSteady waits until the newest point of the traffic chart is near the
// true rate, and returns its time.
func (n netdata) waitSteady(t *testing.T, truth float64) time.Time {
	t.Helper()
	var last point
	begin := time.Now()
	eventually(t, func() error {
		points, err := n.points(trafficChart, begin.Add(-2*time.Second))
		if err != nil {
			return err
		}
		if len(points) == 0 {
			return fmt.Errorf("there is no point yet")
		}
		// The chart of a dead plugin ends with its last point.
		if last = points[len(points)-1]; last.time < begin.Unix() || !last.within(0.05, truth) {
			return fmt.Errorf("the newest point is %s, want %.0f", last, truth)
		}
		return nil
	})
	return time.Unix(last.time, 0)
}

// waitConsecutive waits until the chart shows the true rate for that many seconds
// in a row. On a busy machine it may take a second attempt; a chart in which the
// agent's longer interval shows would never get there.
func (n netdata) waitConsecutive(t *testing.T, chart string, since time.Time, seconds int, truth float64) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Duration(seconds) * time.Second)
	for {
		points, err := n.points(chart, since)
		if err != nil {
			t.Fatal(err)
		}
		near := 0
		for _, p := range points {
			if near++; !p.within(0.05, truth) {
				near = 0
			}
			if near == seconds {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s shows no %d seconds on end within 5 %% of %.0f:\n%v", chart, seconds, truth, points)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
