package endtoend_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// metricsPort is where the agents of these tests serve metrics.
const metricsPort = 10977

// prometheus is a real Prometheus in a namespace of its own.
type prometheus struct {
	namespace
	*program
	directory string
}

// newMonitor creates a namespace from which all servers can be reached, and
// returns their addresses.
func newMonitor(t *testing.T, servers ...namespace) (monitor namespace, targets []string) {
	t.Helper()
	monitor = newNamespace(t)
	for i, server := range servers {
		address := fmt.Sprintf("10.78.%d.2", i)
		join(t, monitor, server, fmt.Sprintf("veth%d", i), []string{fmt.Sprintf("10.78.%d.1/24", i)}, []string{address + "/24"})
		targets = append(targets, fmt.Sprintf("%s:%d", address, metricsPort))
	}
	return monitor, targets
}

// hastyRules returns our rules, evaluated every second, and with short waits.
func hastyRules(t *testing.T) string {
	t.Helper()
	content := testkit.ReadFile(t, "../prometheus/ssmonitor.rules.yml")
	return strings.NewReplacer("interval: 1m", "interval: 1s", "offset 1m", "offset 1s",
		"for: 5m", "for: 1s", "for: 2m", "for: 1s", "[10m]", "[5s]").Replace(content)
}

// startPrometheus starts Prometheus with the targets from a file and further
// settings, beside our rules.
func startPrometheus(t *testing.T, n namespace, targets []string, further string, arguments ...string) prometheus {
	t.Helper()
	directory := sharedDirectory(t)
	list, err := json.Marshal([]map[string]any{{"targets": targets, "labels": map[string]string{"fleet": "test"}}})
	if err != nil {
		t.Fatal(err)
	}
	testkit.ReplaceFile(t, filepath.Join(directory, "servers.json"), string(list))
	testkit.ReplaceFile(t, filepath.Join(directory, "ssmonitor.rules.yml"), hastyRules(t))
	testkit.ReplaceFile(t, filepath.Join(directory, "prometheus.yml"), `
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - {job_name: ssmonitor, file_sd_configs: [{files: [servers.json]}]}
`+further)
	p := prometheus{n, n.start(t, "prometheus", append([]string{
		"--config.file=" + filepath.Join(directory, "prometheus.yml"),
		"--web.listen-address=127.0.0.1:9090", "--log.level=warn",
	}, arguments...)...), directory}
	n.waitListening(t, 9090, "tcp")
	return p
}

// sample is one result of a query.
type sample struct {
	labels map[string]string
	value  float64
}

// query evaluates PromQL now, in Prometheus or in what speaks its protocol.
func (n namespace) query(port int, expression string) ([]sample, error) {
	output, err := n.command("curl", "--silent", "--get", "--data-urlencode", "query="+expression,
		fmt.Sprintf("http://127.0.0.1:%d/api/v1/query", port)).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(output, &answer); err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("%s: %w: %s", expression, err, output)
	}
	var samples []sample
	for _, result := range answer.Data.Result {
		value, err := strconv.ParseFloat(fmt.Sprint(result.Value[1]), 64)
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{result.Metric, value})
	}
	return samples, nil
}

// value returns the only result of a query.
func (n namespace) value(port int, expression string) (float64, error) {
	samples, err := n.query(port, expression)
	if err != nil {
		return 0, err
	}
	if len(samples) != 1 {
		return 0, fmt.Errorf("%s: got %v, want one result", expression, samples)
	}
	return samples[0].value, nil
}

// waitValue waits until the query has the result.
func (n namespace) waitValue(t *testing.T, port int, expression string, want float64) {
	t.Helper()
	eventually(t, func() error {
		got, err := n.value(port, expression)
		if err == nil && got != want {
			err = fmt.Errorf("%s: got %.0f, want %.0f", expression, got, want)
		}
		return err
	})
}

// waitAlert waits until the alert fires, or until it no longer does.
func (p prometheus) waitAlert(t *testing.T, name string, fires bool) {
	t.Helper()
	eventually(t, func() error {
		alerts, err := p.query(9090, fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, name))
		if err == nil && len(alerts) > 0 != fires {
			err = fmt.Errorf("%s: got %v, want firing %t", name, alerts, fires)
		}
		return err
	})
}

// waitScrapes waits until every target has been scraped once more, from the
// beginning of this call.
func (p prometheus) waitScrapes(t *testing.T, targets int) {
	t.Helper()
	began := float64(time.Now().UnixMilli()) / 1e3
	eventually(t, func() error {
		samples, err := p.query(9090, `timestamp(up == 1)`)
		if err != nil {
			return err
		}
		fresh := 0
		for _, scraped := range samples {
			if scraped.value > began {
				fresh++
			}
		}
		if fresh < targets {
			return fmt.Errorf("%d of %d targets were scraped since %.3f", fresh, targets, began)
		}
		return nil
	})
}
