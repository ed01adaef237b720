package netdata

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/output/csv"
)

// The module for charts.d is tested here, since what it prints is read by the
// same strict parser, from a file that File could have written.
const chartsModule = "../../integration/netdata/charts.d/ssmonitor.chart.sh"

// runModule loads the module as charts.d does and runs the steps.
func runModule(t *testing.T, csv, steps string) string {
	t.Helper()
	testkit.Require(t, "bash")
	module, err := filepath.Abs(chartsModule)
	if err != nil {
		t.Fatal(err)
	}
	script := `source "$1"; ssmonitor_csv=$2; ssmonitor_update_every=1
		ssmonitor_check || exit 3; ssmonitor_create || exit 4
		update() { ssmonitor_update "$@" || exit 5; echo; echo --; }
		` + steps
	command := exec.Command("bash", "-c", script, "bash", module, csv)
	command.Dir = t.TempDir()
	var complaints strings.Builder
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("the module failed: %v\n%s", err, complaints.String())
	}
	return string(out)
}

func TestChartsModuleReadsTheCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	if err := csv.NewFile(path).Write(sample.Report()); err != nil {
		t.Fatal(err)
	}
	reader := newNetdata()
	for part := range strings.SplitSeq(runModule(t, path, `
		update
		update 1000000
		printf '20000,0.009,1.000,0.010,9.999\n' > "$2"
		printf '7,1.000,2.000,3.000,4.000\nnonsense\n70000,1,2\n8,1.0,2.000,3.000,x\n' >> "$2"
		update 1000001
		rm "$2"; update 1000002
		printf '20000,5.000,5.000,5.000,5.000\n' > "$2"; update 1000003
		touch -d '-11 seconds' "$2"; update 1000004
		touch -d '-9 seconds' "$2"; update 1000005
		ssmonitor_interval=20; touch -d '-50 seconds' "$2"; update 1000006`), "--\n") {
		reader.feed(t, part)
	}
	if len(reader.charts) != 8 { // Three ports of the report and port 7, two charts each.
		t.Errorf("%d charts, want 8", len(reader.charts))
	}
	traffic := reader.charts["ssmonitor_csv.port_20000_traffic"]
	if want := (map[string]dimension{"received": {"absolute", 8, 1000000}, "sent": {"absolute", -8, 1000000}}); fmt.Sprint(traffic.dimensions) != fmt.Sprint(want) {
		t.Errorf("the dimensions are %v, want %v", traffic.dimensions, want)
	}
	// 1834.220 bytes a second are 1834220 thousandths; no value, and then none
	// told as a continuation, while the file is missing and while it is stale.
	var got []string
	for _, update := range traffic.updates {
		got = append(got, fmt.Sprint(update.microseconds, update.values["received"], update.values["sent"]))
	}
	want := "0 1834220 98211007|1000000 1834220 98211007|1000001 10 9999|0 5000 5000|0 5000 5000|1000006 5000 5000"
	if strings.Join(got, "|") != want {
		t.Errorf("the values are\n%s, want\n%s", strings.Join(got, "|"), want)
	}
	if got := reader.last(t, "ssmonitor_csv.port_7_packets").values; got["received"] != 1000 || got["sent"] != 2000 {
		t.Errorf("packets of port 7: %v", got)
	}
}

func TestChartsModuleRetiresPortsThatStayAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	testkit.WriteFile(t, path, "1,1.000,1.000,1.000,1.000\n2,1.000,1.000,1.000,1.000\n")
	reader := newNetdata()
	parts := strings.Split(runModule(t, path, `
		ssmonitor_patience=2
		update
		printf '1,1.000,1.000,1.000,1.000\n' > "$2"
		update 1000000; update 1000000; update 1000000; update 1000000
		printf '2,1.000,1.000,1.000,1.000\n' > "$2"
		update 1000000`), "--\n")
	for i, part := range parts {
		reader.feed(t, part)
		if gone := reader.charts["ssmonitor_csv.port_2_traffic"].obsolete; gone != (i == 3 || i == 4) {
			t.Errorf("after update %d port 2 is obsolete: %t", i, gone)
		}
	}
}

func TestChartsModuleRunsWithoutAFile(t *testing.T) {
	out := runModule(t, filepath.Join(t.TempDir(), "missing"), "update; update 1000000")
	if strings.Trim(out, "-\n") != "" {
		t.Errorf("without a file the module printed %q", out)
	}
}

func TestChartsModuleKeepsToTheRulesOfChartsD(t *testing.T) {
	// charts.d looks for the functions at the begin of a line, by grep, and
	// shares all names with other modules.
	module := testkit.ReadFile(t, chartsModule)
	for _, name := range []string{"check", "create", "update"} {
		if !strings.Contains(module, "\nssmonitor_"+name+"() {") {
			t.Errorf("ssmonitor_%s is missing", name)
		}
	}
	for line := range strings.Lines(module) {
		if strings.HasSuffix(line, "() {\n") && !strings.HasPrefix(line, "ssmonitor_") {
			t.Errorf("the name is not the module's own: %s", line)
		}
	}
}
