package endtoend_test

import (
	"fmt"
	"testing"
)

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
