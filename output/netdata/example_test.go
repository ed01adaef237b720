package netdata_test

import (
	"fmt"
	"os"

	"ssmonitor/internal/testkit/sample"
	"ssmonitor/output/netdata"
)

// The first report defines the charts. Later ones only add values, with the
// microseconds since the report before.
func ExampleCharts() {
	charts := netdata.NewCharts(os.Stdout, 1, netdata.AllPorts)
	for second, bytes := range []uint64{5000, 6250} {
		if err := charts.Write(sample.Steady(second, bytes)); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// CHART 'ssmonitor.total_traffic' '' 'Traffic of all ports' 'kilobits/s' 'all ports' 'ssmonitor.traffic' 'area' '59990' '1' '' 'ssmonitor.plugin' 'nftables'
	// DIMENSION 'received' 'received' 'incremental' '8' '1000'
	// DIMENSION 'sent' 'sent' 'incremental' '-8' '1000'
	//
	// BEGIN 'ssmonitor.total_traffic'
	// SET 'received' = 5000
	// SET 'sent' = 0
	// END
	//
	// CHART 'ssmonitor.port_20000_traffic' '' 'Traffic of a port' 'kilobits/s' 'ports' 'ssmonitor.port_traffic' 'area' '60000' '1' '' 'ssmonitor.plugin' 'nftables'
	// CLABEL 'port' '20000' '1'
	// CLABEL 'name' 'alice' '1'
	// CLABEL_COMMIT
	// DIMENSION 'received' 'received' 'incremental' '8' '1000'
	// DIMENSION 'sent' 'sent' 'incremental' '-8' '1000'
	//
	// CHART 'ssmonitor.port_20000_packets' '' 'Packets of a port' 'packets/s' 'ports' 'ssmonitor.port_packets' 'line' '60001' '1' '' 'ssmonitor.plugin' 'nftables'
	// CLABEL 'port' '20000' '1'
	// CLABEL 'name' 'alice' '1'
	// CLABEL_COMMIT
	// DIMENSION 'received' 'received' 'incremental' '1' '1'
	// DIMENSION 'sent' 'sent' 'incremental' '-1' '1'
	//
	// BEGIN 'ssmonitor.port_20000_traffic'
	// SET 'received' = 5000
	// SET 'sent' = 0
	// END
	//
	// BEGIN 'ssmonitor.port_20000_packets'
	// SET 'received' = 50
	// SET 'sent' = 0
	// END
	//
	// BEGIN 'ssmonitor.total_traffic' 1000000
	// SET 'received' = 6250
	// SET 'sent' = 0
	// END
	//
	// BEGIN 'ssmonitor.port_20000_traffic' 1000000
	// SET 'received' = 6250
	// SET 'sent' = 0
	// END
	//
	// BEGIN 'ssmonitor.port_20000_packets' 1000000
	// SET 'received' = 62
	// SET 'sent' = 0
	// END
}
