package endtoend_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// grafanaDashboard is the part of Grafana's dashboard that is tested here.
type grafanaDashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

// mayBeEmpty are the panels that show faults: without one they have no result.
var mayBeEmpty = []string{"Agents that can't", "Resets and repairs"}

// expectDashboardQueries runs the queries of every panel and variable.
func expectDashboardQueries(t *testing.T, p prometheus) {
	t.Helper()
	content := testkit.ReadFile(t, "../grafana/ssmonitor.json")
	var board grafanaDashboard
	if err := json.Unmarshal([]byte(content), &board); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	resolve := strings.NewReplacer(
		"$fleet", ".*", "$server", ".*", "$client", ".*", "$__rate_interval", "10s", "$__interval", "30s", "$__range", "1m",
		"${__to:date:seconds}", fmt.Sprint(now), "${__from:date:seconds}", fmt.Sprint(now-15))
	queries := 0
	for _, panel := range board.Panels {
		optional := false
		for _, title := range mayBeEmpty {
			optional = optional || strings.HasPrefix(panel.Title, title)
		}
		for _, target := range panel.Targets {
			queries++
			expression := resolve.Replace(target.Expr)
			samples, err := p.query(9090, expression)
			if err != nil || len(samples) == 0 && !optional || strings.Contains(expression, "$") {
				t.Errorf("panel %q: %s: got %v, %v", panel.Title, expression, samples, err)
			}
		}
	}
	labels := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, variable := range board.Templating.List {
		if variable.Type != "query" {
			continue
		}
		queries++
		parts := labels.FindStringSubmatch(variable.Definition)
		if parts == nil {
			t.Errorf("variable %s: got the query %q", variable.Name, variable.Definition)
			continue
		}
		samples, err := p.query(9090, fmt.Sprintf("count by (%s) (%s)", parts[2], resolve.Replace(parts[1])))
		if err != nil || len(samples) == 0 {
			t.Errorf("variable %s: got %v, %v", variable.Name, samples, err)
		}
	}
	if queries < 20 {
		t.Errorf("only %d queries were found", queries)
	}
}
