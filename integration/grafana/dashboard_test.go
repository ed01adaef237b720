// Package grafana_test checks the dashboard in this folder. Its queries run
// against a real Prometheus in integration.
package grafana_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestDashboardFollowsTheSchema decodes the dashboard with the types that Grafana
// generates from its schema, and refuses what they do not have.
func TestDashboardFollowsTheSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins() // the schemas of the panels' options and queries
	content, err := os.ReadFile("ssmonitor.json")
	if err != nil {
		t.Fatal(err)
	}
	var decoded dashboard.Dashboard //nolint:staticcheck // the schema that every Grafana imports
	// Both return an empty list of errors for what is right.
	for _, err := range []error{decoded.UnmarshalJSONStrict(content), decoded.Validate()} {
		if err != nil && err.Error() != "" {
			t.Error(err)
		}
	}
	if len(decoded.Panels) == 0 {
		t.Error("got no panels")
	}
}

// TestDashboardIsPortable checks what the schema does not: that the dashboard names
// no data source of one Grafana, and that panels have ids of their own and do not
// overlap.
func TestDashboardIsPortable(t *testing.T) {
	content, err := os.ReadFile("ssmonitor.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		ID     any
		Panels []struct {
			ID         int
			Title      string
			Datasource struct{ UID string }
			GridPos    struct{ X, Y, W, H int }
			Targets    []struct {
				Datasource struct{ UID string }
				Expr       string
			}
		}
	}
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatal(err)
	}
	if board.ID != nil {
		t.Error("the dashboard has the id of one Grafana")
	}
	ids, cells := make(map[int]bool), make(map[string]string)
	for _, panel := range board.Panels {
		if ids[panel.ID] || panel.Title == "" {
			t.Errorf("panel %d %q has the id of another, or no title", panel.ID, panel.Title)
		}
		ids[panel.ID] = true
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := fmt.Sprint(panel.GridPos.X+x, " ", panel.GridPos.Y+y)
				if other := cells[cell]; other != "" || panel.GridPos.X+x >= 24 {
					t.Fatalf("panel %q overlaps %q, or is too wide", panel.Title, other)
				}
				cells[cell] = panel.Title
			}
		}
		for _, target := range panel.Targets {
			if target.Datasource.UID != "${datasource}" || panel.Datasource.UID != "${datasource}" || target.Expr == "" {
				t.Errorf("panel %q: got the data source %q and the query %q", panel.Title, target.Datasource.UID, target.Expr)
			}
		}
	}
}
