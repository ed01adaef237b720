package report

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/characters"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/output/api"
)

// hostileName would turn a terminal red, hide what follows and print a line of its own.
// No name has such characters today, but a state directory may be somebody else's.
const hostileName = "x\x1b[31m\u202e\u009b2J\nmallory\u3164"

// TestNothingPrintedMovesACursor writes everything that commands write to a terminal.
func TestNothingPrintedMovesACursor(t *testing.T) {
	start := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	clients := []usage.Client{{Port: 20000, Name: hostileName}}
	recorded := &sample.Usage{Zone: time.UTC, Rows: []usage.Row{{
		Start: start, End: start.AddDate(0, 0, 1), Client: hostileName, Port: 20000, Protocol: accounting.TCP, In: accounting.Count{Bytes: 5e9},
	}}}
	limits, err := usage.ParseLimits([]string{"1GB"})
	if err != nil {
		t.Fatal(err)
	}
	report, err := usage.NewReport(t.Context(), recorded, usage.Request{By: "day"}, limits, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ports := &accounting.Report{Time: start, Ports: []accounting.PortReport{{Port: accounting.Port{Number: 20000, Protocols: accounting.TCPAndUDP, Name: hostileName}}}}
	for name, write := range map[string]func(io.Writer) error{
		"usage":           func(w io.Writer) error { return WriteTable(w, report, false, terminal.Unicode) },
		"usage as JSON":   func(w io.Writer) error { return api.WriteUsage(w, report) },
		"usage as CSV":    func(w io.Writer) error { return WriteCSV(w, report) },
		"clients":         func(w io.Writer) error { return WriteClients(w, clients, terminal.Unicode) },
		"clients as JSON": func(w io.Writer) error { return WriteClientsJSON(w, clients) },
		"ports as JSON":   func(w io.Writer) error { return api.WriteReport(w, ports) },
	} {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text.String()) {
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), characters.Hidden) || strings.HasPrefix(line, "mallory") {
				t.Errorf("%s: %q", name, line)
			}
		}
		if !strings.Contains(text.String(), "mallory") && !strings.Contains(text.String(), `x\x1b`) {
			t.Errorf("%s: the name is missing in\n%s", name, &text)
		}
		if strings.Contains(name, "JSON") && (!json.Valid(text.Bytes()) || !strings.Contains(text.String(), `\u202e\u009b2J\nmallory\u3164`)) {
			t.Errorf("%s: got %s", name, &text)
		}
	}
}
