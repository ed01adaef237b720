package prometheus_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/health"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/prometheus"
)

// The size of the simulated fleet. `make fleet` runs a large one.
var (
	fleetServers  = flag.Int("fleet-servers", 40, "servers of the simulated fleet")
	fleetClients  = flag.Int("fleet-clients", 10, "clients per server")
	fleetInterval = flag.Duration("fleet-interval", time.Second, "between two scrapes")
	fleetDuration = flag.Duration("fleet-duration", 12*time.Second, "of the measurement")
)

// simulated is a server whose clients use the same number of bytes every second.
// Only its counters are made up; what publishes them is the product.
type simulated struct {
	ports accounting.Ports
	began time.Time
}

func (s *simulated) bytes() uint64 { return uint64(time.Since(s.began).Seconds() * 125000) }

func (s *simulated) SavedReport(context.Context) (*accounting.Report, error) {
	flow := accounting.Flow{Total: accounting.Count{Packets: s.bytes() / 1000, Bytes: s.bytes()}}
	traffic := accounting.Traffic{In: flow, Out: flow}
	report := &accounting.Report{Time: time.Now()}
	for _, port := range s.ports {
		report.Ports = append(report.Ports, accounting.PortReport{Port: port, TCP: traffic, UDP: traffic})
	}
	return report, nil
}

func (s *simulated) Status() accounting.Status { return accounting.Status{Ports: len(s.ports)} }

func (s *simulated) Problems() []health.Problem { return nil }

func (s *simulated) Month(context.Context) (*usage.Month, error) {
	now := time.Now()
	month := &usage.Month{Start: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)}
	for _, port := range s.ports {
		used := accounting.Count{Bytes: 2 * s.bytes()}
		month.Rows = append(month.Rows, usage.Row{Client: port.Name, Port: port.Number, In: used, Out: used})
	}
	return month, nil
}

func noLimits() usage.Limits { return usage.Limits{} }

// serveFleet serves the metrics of all servers under paths of their own, and the
// list of the servers for HTTP service discovery. Clients are on two servers each.
func serveFleet(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	mux := http.NewServeMux()
	var groups []map[string]any
	began := time.Now()
	for i := range *fleetServers {
		server := &simulated{began: began}
		for j := range *fleetClients {
			server.ports = append(server.ports, accounting.Port{
				Number: uint16(20000 + j), Protocols: accounting.TCPAndUDP, Name: fmt.Sprintf("client %d", i/2**fleetClients+j),
			})
		}
		metrics := prometheus.NewMetrics(prometheus.Options{
			Source: server, Interval: 2 * time.Second, Names: true, Version: "simulated", Limits: noLimits, AddressLimits: noLimits,
		})
		prefix := fmt.Sprintf("/server/%d", i)
		mux.Handle(prefix+"/metrics", http.StripPrefix(prefix, prometheus.NewHandler(metrics, time.Now)))
		groups = append(groups, map[string]any{"targets": []string{address}, "labels": map[string]string{
			"__metrics_path__": prefix + "/metrics", "instance": fmt.Sprintf("server%d:10977", i), "fleet": fmt.Sprintf("fleet%d", i%3),
		}})
	}
	mux.HandleFunc("GET /servers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(groups)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return address
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// service is a program that serves HTTP until the test ends.
type service struct {
	address string
	command *exec.Cmd
}

func startService(t *testing.T, address, health, program string, arguments ...string) service {
	t.Helper()
	testkit.Require(t, program)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	s := service{address, exec.Command(program, arguments...)}
	s.command.Stdout, s.command.Stderr = log, log
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.command.Process.Kill()
		_ = s.command.Wait()
		if content, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s:\n%.5000s", program, content)
		}
	})
	testkit.Eventually(t, 20*time.Second, func() error { _, err := s.get(health); return err })
	return s
}

func (s service) get(path string) (string, error) {
	response, err := http.Get("http://" + s.address + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s\n%.500s", path, response.Status, content)
	}
	return string(content), err
}

// query returns the results of a query, and how long it took.
func (s service) query(expression string) (results int, sum float64, took time.Duration, err error) {
	began := time.Now()
	content, err := s.get("/api/v1/query?query=" + url.QueryEscape(expression))
	took = time.Since(began)
	if err != nil {
		return 0, 0, took, err
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal([]byte(content), &answer); err != nil {
		return 0, 0, took, err
	}
	for _, result := range answer.Data.Result {
		value, err := strconv.ParseFloat(fmt.Sprint(result.Value[1]), 64)
		if err != nil {
			return 0, 0, took, err
		}
		sum += value
	}
	return len(answer.Data.Result), sum, took, nil
}

// cost returns the CPU time and the resident memory of the service so far.
func (s service) cost(t *testing.T) (cpu time.Duration, memory int) {
	t.Helper()
	process := s.command.Process.Pid
	pages, err := strconv.Atoi(strings.Fields(testkit.ReadFile(t, fmt.Sprintf("/proc/%d/statm", process)))[1])
	if err != nil {
		t.Fatal(err)
	}
	return testkit.ProcessorTime(t, process), pages * os.Getpagesize()
}

// ruleDuration returns how long the last evaluation of the usage took a Prometheus.
func (s service) ruleDuration(t *testing.T) time.Duration {
	t.Helper()
	content, err := s.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(content) {
		if !strings.HasPrefix(line, "prometheus_rule_group_last_duration_seconds") || !strings.Contains(line, "ssmonitor-usage") {
			continue
		}
		fields := strings.Fields(line)
		seconds, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	}
	t.Fatal("Prometheus knows no rules of the usage")
	return 0
}

// TestFleet lets one Prometheus scrape a simulated fleet, evaluate our rules and
// write everything to VictoriaMetrics, and asks both for the usage of the month.
func TestFleet(t *testing.T) {
	fleet := serveFleet(t)
	directory := t.TempDir()
	victoriaAddress, prometheusAddress := freeAddress(t), freeAddress(t)
	victoria := startService(t, victoriaAddress, "/health", "victoria-metrics",
		"-httpListenAddr="+victoriaAddress, "-storageDataPath="+filepath.Join(directory, "victoria"), "-search.latencyOffset=0s",
		"-memory.allowedBytes=1GiB", "-search.maxUniqueTimeseries=3000000")
	rules := testkit.ReadFile(t, "ssmonitor.rules.yml")
	evaluation := time.Minute
	if *fleetInterval < 10*time.Second {
		evaluation = time.Second
		rules = strings.NewReplacer("interval: 1m", "interval: 1s", "offset 1m", "offset 1s").Replace(rules)
	}
	for name, content := range map[string]string{"ssmonitor.rules.yml": rules, "prometheus.yml": fmt.Sprintf(`
global: {scrape_interval: %s, evaluation_interval: 1m}
rule_files: [ssmonitor.rules.yml]
scrape_configs:
  - job_name: ssmonitor
    http_sd_configs: [{url: "http://%s/servers"}]
remote_write: [{url: "http://%s/api/v1/write", queue_config: {batch_send_deadline: 1s}}]
`, *fleetInterval, fleet, victoriaAddress)} {
		testkit.WriteFile(t, filepath.Join(directory, name), content)
	}
	prometheus := startService(t, prometheusAddress, "/-/ready", "prometheus",
		"--config.file="+filepath.Join(directory, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(directory, "data"),
		"--web.listen-address="+prometheusAddress, "--log.level=warn")
	patience := 2**fleetInterval + 20*time.Second + time.Duration(*fleetServers)*time.Second/4 // for a busy machine
	testkit.Eventually(t, patience, func() error {
		_, up, _, err := prometheus.query("sum(up)")
		if err == nil && up < float64(*fleetServers) {
			err = fmt.Errorf("%.0f of %d servers were scraped", up, *fleetServers)
			time.Sleep(*fleetInterval / 20) // a query costs something too
		}
		return err
	})
	self := func() time.Duration { return testkit.ProcessorTime(t, os.Getpid()) }
	began := time.Now()
	ownCPU := self()
	prometheusCPU, _ := prometheus.cost(t)
	victoriaCPU, _ := victoria.cost(t)
	time.Sleep(*fleetDuration) // the length of the measurement

	length := time.Since(began).Seconds()
	share := func(used time.Duration) string { return fmt.Sprintf("%.1f%% of a core", 100*used.Seconds()/length) }
	_, series, _, err := prometheus.query("sum(scrape_samples_scraped)")
	if err != nil {
		t.Fatal(err)
	}
	scrapes := float64(*fleetServers) * length / fleetInterval.Seconds()
	t.Logf("%d servers of %d clients: %.0f series; the exporters use %s, %s per scrape", *fleetServers, *fleetClients, series,
		share(self()-ownCPU), time.Duration(float64(self()-ownCPU)/scrapes).Round(time.Microsecond))
	for name, measured := range map[string]struct {
		service
		before time.Duration
	}{"Prometheus": {prometheus, prometheusCPU}, "VictoriaMetrics": {victoria, victoriaCPU}} {
		cpu, memory := measured.cost(t)
		t.Logf("%s: %s, %d MB", name, share(cpu-measured.before), memory>>20)
	}
	t.Logf("Prometheus evaluates the rules in %s of every %s", prometheus.ruleDuration(t), evaluation)
	clients := (*fleetServers + 1) / 2 * *fleetClients
	var sums []float64
	for _, report := range []struct {
		name string
		service
		expression string
	}{
		{"Prometheus, by the rules", prometheus, "sum by (client) (ssmonitor:client_bytes:month)"},
		{"Prometheus, by subtraction", prometheus, fmt.Sprintf("sum by (name) (ssmonitor_port_bytes_total - ssmonitor_port_bytes_total @ %.3f)", float64(began.UnixMilli())/1e3)},
		{"VictoriaMetrics, by the rules", victoria, "sum by (client) (ssmonitor:client_bytes:month)"},
		{"VictoriaMetrics, by increase", victoria, fmt.Sprintf("sum by (name) (increase(ssmonitor_port_bytes_total[%.0fs]))", length)},
	} {
		// The rules have to see a port twice.
		testkit.Eventually(t, 20*time.Second+4*evaluation, func() error {
			results, sum, took, err := report.query(report.expression)
			if err == nil && (results != clients || sum <= 0) {
				err = fmt.Errorf("%s: got %d clients and %.0f bytes, want %d clients", report.name, results, sum, clients)
			}
			if err == nil {
				t.Logf("%s: the month of %d clients in %s", report.name, results, took.Round(time.Millisecond))
				sums = append(sums, sum)
			}
			return err
		})
	}
	expected := 8 * 125000 / 2 * length * float64(*fleetServers**fleetClients)
	for _, sum := range sums {
		if sum < expected/4 || sum > 4*expected {
			t.Errorf("got a usage of %.0f bytes, want about %.0f", sum, expected)
		}
	}
}
