package output_test

import (
	"fmt"
	"os"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/output"
)

// exampleReport is what a meter returns for one port, some time after noon.
func exampleReport(seconds int, bytes uint64) *accounting.Report {
	in := accounting.Flow{
		Total: accounting.Count{Packets: bytes / 100, Bytes: bytes},
		Rate:  accounting.Rate{Packets: 12.5, Bytes: 1250},
	}
	port := accounting.PortReport{
		Port:  accounting.Port{Number: 20000, Protocols: accounting.OnlyTCP, Name: "alice"},
		TCP:   accounting.Traffic{In: in},
		Rated: true,
	}
	return &accounting.Report{
		Time:     time.Date(2026, 11, 22, 12, 0, seconds, 0, time.UTC),
		Interval: time.Second,
		Total:    port.Sum(),
		Ports:    []accounting.PortReport{port},
	}
}

// Each line is the port, packets in, packets out, bytes in and bytes out, per
// second.
func ExampleAppendCSV() {
	fmt.Printf("%s", output.AppendCSV(nil, exampleReport(0, 5000)))
	// Output:
	// 20000,12.500,0.000,1250.000,0.000
}

// The first report defines the charts. Later ones only add values, with the
// microseconds since the report before.
func ExampleCharts() {
	charts := output.NewCharts(os.Stdout, 1, output.AllPorts)
	for second, bytes := range []uint64{5000, 6250} {
		if err := charts.Write(exampleReport(second, bytes)); err != nil {
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
