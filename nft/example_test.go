package nft_test

import (
	"fmt"
	"os"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

// This is what `ssmonitor setup --dry-run` prints for one port.
func ExampleWriteRuleset() {
	ports := accounting.Ports{{Number: 20000, Protocols: accounting.OnlyTCP, Name: "alice"}}
	if err := nft.WriteRuleset(os.Stdout, nft.HookHost, ports, nil); err != nil {
		fmt.Println(err)
	}
	// Output:
	// table inet ssmonitor {
	// 	comment "made by ssmonitor to count traffic per port"
	// 	counter tcp-20000-in {
	// 		packets 0 bytes 0
	// 	}
	//
	// 	counter tcp-20000-out {
	// 		packets 0 bytes 0
	// 	}
	//
	// 	map ports-in {
	// 		type inet_proto . inet_service : counter
	// 		elements = { tcp . 20000 : "tcp-20000-in" }
	// 	}
	//
	// 	map ports-out {
	// 		type inet_proto . inet_service : counter
	// 		elements = { tcp . 20000 : "tcp-20000-out" }
	// 	}
	//
	// 	chain input {
	// 		type filter hook input priority filter + 40; policy accept;
	// 		counter name meta l4proto . th dport map @ports-in accept
	// 	}
	//
	// 	chain output {
	// 		type filter hook output priority filter + 40; policy accept;
	// 		meta oifkind "vrf" accept
	// 		counter name meta l4proto . th sport map @ports-out accept
	// 	}
	// }
}
