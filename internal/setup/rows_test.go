package setup

import (
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/terminal"
)

// TestTableHasOneLinePerRange sets up every port, as a mistaken range does, then three.
func TestTableHasOneLinePerRange(t *testing.T) {
	var report Report
	for number := 1; number <= 65535; number++ {
		counted := newCounted(accounting.Port{Protocols: accounting.TCPAndUDP}, nil)
		port := Port{Port: uint16(number), Counted: counted, Sources: []string{"--port"}, Change: portAdded}
		if number == 8388 {
			port.Name = "alice"
		}
		report.Ports = append(report.Ports, port)
	}
	expectTable(t, &report, "+ 1-8387      tcp, udp         --port", "+ 8388        tcp, udp  alice  --port", "+ 8389-65535  tcp, udp         --port")
	for i := range report.Ports[shortRange:] {
		report.Ports[shortRange+i].Change = portRemoved
	}
	report.Ports = report.Ports[:9000]
	expectTable(t, &report, "+ 1          tcp, udp         --port", "+ 16         tcp, udp         --port", "- 17-8387    tcp, udp         --port", "- 8389-9000  tcp, udp         --port")
}

// expectTable expects lines in a table that has few of them and leaves none out.
func expectTable(t *testing.T, report *Report, want ...string) {
	t.Helper()
	var table strings.Builder
	if err := report.WriteTable(&table, terminal.Unicode, followRows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if len(lines) > shortRange+8 || strings.Contains(table.String(), "more") {
		t.Errorf("got %d lines:\n%.2000s", len(lines), table.String())
	}
	for _, line := range want {
		if !strings.Contains(table.String(), line+"\n") {
			t.Errorf("got no line %q:\n%.2000s", line, table.String())
		}
	}
}

// TestRowSaysTheNameOfBefore has ports that get a name, lose it, or change it.
func TestRowSaysTheNameOfBefore(t *testing.T) {
	for _, test := range []struct{ before, now, want string }{
		{"", "carol", "carol (had no name)"},
		{"carol", "", `(was "carol")`},
		{"carol", "caroline", `caroline (was "carol")`},
	} {
		port := accounting.Port{Number: 8388, Protocols: accounting.TCPAndUDP, Name: test.before}
		before := newCounted(port, nil)
		port.Name = test.now
		if got := row([]Port{{Port: 8388, Counted: newCounted(port, nil), Before: &before}}, terminal.Unicode)[2]; got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
