package setup

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/terminal"
)

// A table in the log is short.
func TestTableOfManyPorts(t *testing.T) {
	report := Report{List: "ports", Ports: []Port{{Port: 1}, {Port: 2, Change: portAdded}, {Port: 3}, {Port: 4, Change: portRemoved}, {Port: 5, Change: portAdded}}}
	for most, want := range map[int]string{2: "2,4,and 3 more", 1: "2,and 4 more", 5: "1,2,3,4,5"} {
		var table strings.Builder
		if err := report.WriteTable(&table, terminal.Unicode, most); err != nil {
			t.Fatal(err)
		}
		rows, summary, _ := strings.Cut(table.String(), "\n\n")
		var got []string
		for _, row := range strings.Split(rows, "\n")[1:] {
			got = append(got, strings.TrimLeft(strings.TrimSpace(row), "+- "))
		}
		if strings.Join(got, ",") != want || !strings.Contains(summary, "2 added, 1 removed") {
			t.Errorf("at most %d: got %s", most, table.String())
		}
	}
}

// ss-manager writes a configuration for each port.
func TestTableOfManyConfigurations(t *testing.T) {
	report := Report{List: "ports"}
	for i := range 12 {
		report.Configurations = append(report.Configurations, Configuration{fmt.Sprintf("%d.conf", i), "shadowsocks-libev", "server_port", 1})
	}
	for most, want := range map[int]string{math.MaxInt: "9.conf: shadowsocks-libev (by server_port): 1 port\nand 2 more configurations\n", 2: "1.conf: shadowsocks-libev (by server_port): 1 port\nand 10 more configurations\n"} {
		var table strings.Builder
		if err := report.WriteTable(&table, terminal.Unicode, most); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(table.String(), want) || strings.Contains(table.String(), "11.conf") {
			t.Errorf("at most %d: got %s", most, table.String())
		}
	}
}

// TestSetupReportsWhatBecamePublished has a port of which nothing else changed.
func TestSetupReportsWhatBecamePublished(t *testing.T) {
	port := accounting.Port{Number: 20000, Protocols: accounting.TCPAndUDP}
	earlier := []portlist.Entry{{Port: port}}
	port.Published = true
	report := newReport("ports", earlier, &Found{Result: sources.Result{Ports: accounting.Ports{port}, Entries: []portlist.Entry{{Port: port}}}})
	var table strings.Builder
	if err := report.WriteTable(&table, terminal.Unicode, 2); err != nil || !report.changed() || !strings.Contains(table.String(), "~ 20000  tcp, udp, forwarded (was tcp, udp)") {
		t.Errorf("got changed %t, %v and\n%s", report.changed(), err, &table)
	}
}

// TestReportOfAnEndedRange corrects a list that has every port. Looking for each port in
// the whole list took ten seconds.
func TestReportOfAnEndedRange(t *testing.T) {
	var earlier []portlist.Entry
	for number := 1; number <= 65535; number++ {
		earlier = append(earlier, portlist.Entry{Port: accounting.Port{Number: uint16(number), Protocols: accounting.TCPAndUDP}, Sources: []string{"a.yaml"}})
	}
	began := time.Now()
	report := newReport("ports", earlier, &Found{})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it takes %s", took)
	}
	if last := report.Ports[len(report.Ports)-1]; len(report.Ports) != 65535 || last.Change != portRemoved || !slices.Equal(last.Sources, []string{"a.yaml"}) {
		t.Errorf("got %d ports, the last of which is %+v", len(report.Ports), last)
	}
}
