package portlist_test

import (
	"fmt"

	"ssmonitor/integration/portlist"
)

func ExampleParseSpec() {
	for _, spec := range []string{"20000=alice", "21000-21001/udp", "80a"} {
		ports, err := portlist.ParseSpec(spec)
		fmt.Println(ports, err)
	}
	// Output:
	// [{20000 3 alice false}] <nil>
	// [{21000 2  false} {21001 2  false}] <nil>
	// [] port "80a": want a port number from 1 to 65535, as in 20000, 20000-20009, 20000/tcp or 20000=alice
}
