package endtoend_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/internal/testkit"
)

// product is ssmonitor in a namespace, with directories of its own.
type product struct {
	namespace
	directory string // all that it keeps is below
	csv       string
	list      string // of ports, which setup writes
}

// newServer returns a product in a namespace of its own.
func newServer(t *testing.T) product {
	t.Helper()
	return newProduct(t, newNamespace(t))
}

func newProduct(t *testing.T, n namespace) product {
	t.Helper()
	directory := sharedDirectory(t)
	p := product{
		namespace: n,
		directory: directory,
		csv:       filepath.Join(directory, "run", "ssmonitor.csv"),
		list:      filepath.Join(directory, "ports"),
	}
	for _, path := range []string{p.runtimeDirectory(), p.stateDirectory()} { // as systemd does
		testkit.MakeDirectory(t, path)
	}
	return p
}

func (p product) runtimeDirectory() string { return filepath.Dir(p.csv) }
func (p product) stateDirectory() string   { return filepath.Join(p.directory, "state") }

func (p product) socket() string { return filepath.Join(p.runtimeDirectory(), "ssmonitor.sock") }

// configuration is the file that configure writes.
func (p product) configuration() string { return filepath.Join(p.directory, "config.json") }

// configure writes a Shadowsocks configuration with a password per port.
func (p product) configure(t *testing.T, ports ...int) {
	t.Helper()
	passwords := make([]string, len(ports))
	for i, port := range ports {
		passwords[i] = fmt.Sprintf(`"%d": %q`, port, password)
	}
	testkit.ReplaceFile(t, p.configuration(), fmt.Sprintf(`{"server": ["::", "0.0.0.0"], "port_password": {%s}, "method": %q,
		"mode": "tcp_and_udp", "timeout": 60}`, strings.Join(passwords, ", "), cipher))
}

// ssmonitor prepares a run of the binary under test. The words of prefix come
// before its name on the command line, for programs such as setpriv.
func (p product) ssmonitor(prefix []string, arguments ...string) *exec.Cmd {
	words := append(append(prefix, builtProgram("ssmonitor")), arguments...)
	command := p.command(words[0], words[1:]...)
	command.Env = append(os.Environ(),
		"SSMONITOR_NO_SEARCH=true", // what the machine serves is no part of a test
		"LC_ALL=C.UTF-8",           // names are not ASCII
		"RUNTIME_DIRECTORY="+p.runtimeDirectory(),
		"STATE_DIRECTORY="+p.stateDirectory())
	return command
}

// succeed runs ssmonitor, which must succeed, and returns what it wrote to stdout.
func (p product) succeed(t *testing.T, arguments ...string) string {
	t.Helper()
	run := begin(t, p.ssmonitor(nil, arguments...))
	if status := run.wait(t); status != 0 {
		t.Fatalf("%s ended with status %d\n%s", run, status, &run.stderr)
	}
	return run.stdout.String()
}

// setup runs `ssmonitor setup` with the flags and returns what it wrote to stdout. Without a
// file of clients, the ports are those of this setup alone.
func (p product) setup(t *testing.T, flags ...string) string {
	t.Helper()
	return p.succeed(t, append([]string{"setup", "--clients", "", "--list", p.list}, flags...)...)
}

// fail runs ssmonitor, which must exit with the status and write each of the
// words to stderr.
func (p product) fail(t *testing.T, status int, words []string, arguments ...string) {
	t.Helper()
	begin(t, p.ssmonitor(nil, arguments...)).endsWith(t, status, words...)
}

// endsWith waits for the end of a program and checks its status and stderr.
func (p *program) endsWith(t *testing.T, status int, words ...string) {
	t.Helper()
	if got := p.wait(t); got != status {
		t.Errorf("%s ended with status %d, want %d\n%s", p, got, status, &p.stderr)
	}
	for _, word := range words {
		if !strings.Contains(p.stderr.String(), word) {
			t.Errorf("%s does not say %q but:\n%s", p, word, &p.stderr)
		}
	}
}

// agent is a running `ssmonitor run`.
type agent struct {
	product
	*program
}

// startAgent starts the agent with a short interval.
func (p product) startAgent(t *testing.T, arguments ...string) agent {
	t.Helper()
	arguments = append([]string{"run", "--interval", "100ms"}, arguments...)
	return agent{p, start(t, p.ssmonitor(nil, arguments...))}
}

// startMetrics starts `ssmonitor metrics` for the agent of the product.
func (p product) startMetrics(t *testing.T, address string, arguments ...string) *program {
	t.Helper()
	return start(t, p.ssmonitor(nil, append([]string{"metrics", "--socket", p.socket(), "--listen", fmt.Sprintf("%s:%d", address, metricsPort)}, arguments...)...))
}

// startCounting is like startAgent, but waits until the agent serves the ports that
// the arguments name by --port and --list.
func (p product) startCounting(t *testing.T, arguments ...string) agent {
	t.Helper()
	var want accounting.Ports
	for i := 1; i < len(arguments); i++ {
		var ports []accounting.Port
		var err error
		switch arguments[i-1] {
		case "--port":
			ports, _, err = portlist.ParseSpec(arguments[i])
		case "--list":
			var entries []portlist.Entry
			entries, err = portlist.Read(arguments[i])
			ports = portlist.Ports(entries)
		}
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, ports...)
	}
	var numbers []int
	for _, port := range want {
		numbers = append(numbers, int(port.Number))
	}
	a := p.startAgent(t, arguments...)
	a.waitSaying(t, "counting") // what one that was killed has published may still be there
	a.waitServing(t, numbers...)
	return a
}

// waitServing waits until the agent publishes these ports and no others.
func (a agent) waitServing(t *testing.T, ports ...int) {
	t.Helper()
	eventually(t, func() error {
		a.mustRun(t)
		rows, err := a.readCSV()
		if err != nil {
			return err
		}
		var published []int
		for _, row := range rows {
			published = append(published, row.port)
		}
		if fmt.Sprint(published) != fmt.Sprint(ports) {
			return fmt.Errorf("the CSV has the ports %v, want %v", published, ports)
		}
		return nil
	})
}

// stop ends the agent as systemd does, and checks that it ends well.
func (a agent) stop(t *testing.T) {
	t.Helper()
	a.signal(syscall.SIGTERM)
	a.endsWith(t, 0)
	if _, err := os.Stat(a.csv); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a clean exit the CSV is still there: %v", err)
	}
}

// csvRow is a line of the CSV: packets and bytes per second.
type csvRow struct {
	port                                     int
	packetsIn, packetsOut, bytesIn, bytesOut float64
}

func (p product) readCSV() ([]csvRow, error) {
	content, err := os.ReadFile(p.csv)
	if err != nil {
		return nil, err
	}
	return parseCSV(string(content))
}

func parseCSV(content string) ([]csvRow, error) {
	var rows []csvRow
	for line := range strings.Lines(content) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		if len(fields) != 5 || !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("%q is no line of the CSV", line)
		}
		var numbers [5]float64
		for i, field := range fields {
			number, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return nil, fmt.Errorf("in line %q: %w", line, err)
			}
			numbers[i] = number
		}
		rows = append(rows, csvRow{int(numbers[0]), numbers[1], numbers[2], numbers[3], numbers[4]})
	}
	return rows, nil
}

// counters returns the values of our counters as nft lists them, by name.
func (n namespace) counters(t *testing.T) map[string]accounting.Count {
	t.Helper()
	return n.countersOf(t, "ssmonitor")
}

// countersOf returns the values of a table's counters, by name. It returns none
// if there is no such table.
func (n namespace) countersOf(t *testing.T, table string) map[string]accounting.Count {
	t.Helper()
	output := n.run(t, "nft", "--json", "list", "counters")
	var listing struct {
		NFTables []struct {
			Counter *struct {
				Name, Table    string
				Packets, Bytes uint64
			}
		}
	}
	if err := json.Unmarshal([]byte(output), &listing); err != nil {
		t.Fatalf("listing counters: %v in %s", err, output)
	}
	counters := make(map[string]accounting.Count)
	for _, object := range listing.NFTables {
		if c := object.Counter; c != nil && c.Table == table {
			counters[c.Name] = accounting.Count{Packets: c.Packets, Bytes: c.Bytes}
		}
	}
	return counters
}

// counted returns the values of a port's counters, TCP and UDP together.
func (n namespace) counted(t *testing.T, port int) traffic {
	t.Helper()
	counters := n.counters(t)
	var sum traffic
	for _, protocol := range []string{"tcp", "udp"} {
		name := fmt.Sprintf("%s-%d", protocol, port)
		sum.in = sum.in.Plus(counters[name+"-in"])
		sum.out = sum.out.Plus(counters[name+"-out"])
	}
	return sum
}

// packets returns how many packets the counter holds. The counter must exist.
func (n namespace) packets(t *testing.T, name string) int {
	t.Helper()
	count, found := n.counters(t)[name]
	if !found {
		t.Fatalf("there is no counter %s", name)
	}
	return int(count.Packets)
}

// nft loads a ruleset.
func (n namespace) nft(t *testing.T, ruleset string) {
	t.Helper()
	command := n.command("nft", "-f", "-")
	command.Stdin = strings.NewReader(ruleset)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("nft -f: %v\n%s\nof:\n%s", err, output, ruleset)
	}
}

// expectNoRuleset fails the test if the namespace has any rules.
func (n namespace) expectNoRuleset(t *testing.T, when string) {
	t.Helper()
	if ruleset := n.ruleset(t); ruleset != "" {
		t.Errorf("%s there are rules:\n%s", when, ruleset)
	}
}

// ruleset returns the whole ruleset of the namespace.
func (n namespace) ruleset(t *testing.T) string {
	t.Helper()
	return n.run(t, "nft", "list", "ruleset")
}
