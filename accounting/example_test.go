package accounting_test

import (
	"fmt"

	"ssmonitor/accounting"
)

func ExampleUnion() {
	configuration := []accounting.Port{
		{Number: 20001, Protocols: accounting.OnlyTCP, Name: "bob"},
		{Number: 20000, Protocols: accounting.OnlyTCP},
	}
	flags := []accounting.Port{
		{Number: 20000, Protocols: accounting.OnlyUDP, Name: "alice"},
		{Number: 20001, Protocols: accounting.OnlyTCP, Name: "robert"},
	}
	ports, conflicts := accounting.Union(configuration, flags)
	for _, port := range ports {
		fmt.Println(port.Number, port.Name, port.Keys(nil))
	}
	for _, conflict := range conflicts {
		fmt.Printf("port %d is called %s, not %s\n", conflict.Port, conflict.Kept, conflict.Lost)
	}
	// Output:
	// 20000 alice [tcp-20000-in tcp-20000-out udp-20000-in udp-20000-out]
	// 20001 bob [tcp-20001-in tcp-20001-out]
	// port 20001 is called bob, not robert
}
