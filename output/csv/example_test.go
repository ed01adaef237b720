package csv_test

import (
	"fmt"

	"ssmonitor/internal/testkit/sample"
	"ssmonitor/output/csv"
)

// Each line is the port, packets in, packets out, bytes in and bytes out, per
// second.
func ExampleAppend() {
	fmt.Printf("%s", csv.Append(nil, sample.Steady(0, 5000)))
	// Output:
	// 20000,12.500,0.000,1250.000,0.000
}
