// Package prometheus_test checks the files for Prometheus in this folder with
// Prometheus' own tool. That they work with real agents is tested in integration.
package prometheus_test

import (
	"os/exec"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	testkit.Require(t, "promtool")
	output, err := exec.Command("promtool", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
}

func TestRules(t *testing.T) {
	promtool(t, "check", "rules", "ssmonitor.rules.yml")
	promtool(t, "test", "rules", "ssmonitor.rules.test.yml")
}

func TestConfigurations(t *testing.T) {
	promtool(t, "check", "config", "--syntax-only", "prometheus.yml")
	promtool(t, "check", "config", "--syntax-only", "--agent", "agent.yml")
}
