package endtoend_test

import (
	"fmt"
	"testing"
)

// netdataContext is a context as Netdata's API describes it: what newer versions show as
// the heading of all its charts.
type netdataContext struct {
	Title, Units, Family string
	ChartType            string `json:"chart_type"`
	Charts               map[string]struct {
		Labels map[string]string `json:"labels"`
	}
}

func (n netdata) contexts() (map[string]netdataContext, error) {
	var answer struct{ Contexts map[string]netdataContext }
	err := n.get("contexts?options=all", &answer)
	return answer.Contexts, err
}

// TestContextsFitEveryPort asks Netdata for its contexts: none of them carries the
// identity of one port, however the ports come and go.
func TestContextsFitEveryPort(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	t.Parallel()
	server := newServer(t)
	agent := server.startAgent(t, "--ports", server.list)
	server.setup(t, "--port", "20000=Alice")
	netdata := startNetdata(t, server)
	wantHeadings := map[string]netdataContext{
		"ssmonitor.port_addresses": {Title: "Addresses connected to a port", Units: "addresses", Family: "ports", ChartType: "line"},
		"ssmonitor.traffic":        {Title: "Traffic of all ports", Units: "kilobits/s", Family: "all ports", ChartType: "area"},
		"ssmonitor.port_traffic":   {Title: "Traffic of a port", Units: "kilobits/s", Family: "ports", ChartType: "area"},
		"ssmonitor.port_packets":   {Title: "Packets of a port", Units: "packets/s", Family: "ports", ChartType: "line"},
	}
	for _, step := range []struct {
		ports []string
		names map[string]string // by chart
	}{
		{[]string{"--port", "20000=Alice"}, map[string]string{trafficChart: "Alice"}},
		{[]string{"--port", "20000=Alice", "--port", "20001=Bob"}, map[string]string{trafficChart: "Alice", "ssmonitor.port_20001_traffic": "Bob"}},
		{[]string{"--port", "20000=Carol", "--port", "20001=Bob"}, map[string]string{trafficChart: "Carol", "ssmonitor.port_20001_traffic": "Bob"}},
	} {
		server.setup(t, step.ports...)
		eventually(t, func() error {
			contexts, err := netdata.contexts()
			if err != nil {
				return err
			}
			for id, want := range wantHeadings {
				got := contexts[id]
				if got.Title != want.Title || got.Units != want.Units || got.Family != want.Family || got.ChartType != want.ChartType {
					return fmt.Errorf("with %v the context %s is %+v, want %+v", step.ports, id, got, want)
				}
			}
			for id, name := range step.names {
				if got := contexts["ssmonitor.port_traffic"].Charts[id].Labels["name"]; got != name {
					return fmt.Errorf("with %v the chart %s has the name %q, want %q", step.ports, id, got, name)
				}
			}
			return nil
		})
	}
	agent.stop(t)
}

// TestNetdataOfManyPorts has 500 ports: by default 100 of them have charts, and
// two alerts each.
func TestNetdataOfManyPorts(t *testing.T) {
	require(t, "netdata", "curl", "ss")
	for _, test := range []struct {
		name, options string
		ports         int // that have charts of their own
		others        bool
	}{
		{"by default", "", 100, true},
		{"a few", "--charts 3", 3, true},
		{"none", "--charts none", 0, false},
		{"all", "--charts all", 500, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			agent := server.startAgent(t, "--csv", "", "--port", "20000-20499")
			agent.waitSaying(t, "counting")
			// The busiest ports are not the first ones.
			server.sendToItself(t, 20400, 10)
			server.sendToItself(t, 20401, 10)
			server.sendToItself(t, 20007, 5)
			netdata := newNetdata(t, server)
			netdata.setAlerts(t, shippedAlerts(t))
			netdata.addSettings(t, fmt.Sprintf("[plugin:ssmonitor]\n    command options = --socket %s %s\n", server.socket(), test.options))
			netdata = netdata.launch(t)
			charts := 1 + 3*test.ports
			if test.others {
				charts += 2
			}
			eventually(t, func() error {
				var list struct{ Charts map[string]any }
				if err := netdata.get("charts", &list); err != nil {
					return err
				}
				if len(list.Charts) != charts {
					return fmt.Errorf("there are %d charts, want %d", len(list.Charts), charts)
				}
				alerts, err := netdata.alerts()
				if err == nil && len(alerts) != 1+2*test.ports {
					err = fmt.Errorf("there are %d alerts, want %d", len(alerts), 1+2*test.ports)
				}
				return err
			})
			if netdata.hasChart(t, "ssmonitor.other_traffic") != test.others || netdata.hasChart(t, "ssmonitor.other_packets") != test.others {
				t.Error("the charts of the other ports are missing, or not")
			}
			for _, port := range []int{20400, 20401, 20007} {
				if has := netdata.hasChart(t, fmt.Sprintf("ssmonitor.port_%d_traffic", port)); has != (test.ports > 0) {
					t.Errorf("port %d has charts: %t", port, has)
				}
			}
			agent.stop(t)
		})
	}
}
