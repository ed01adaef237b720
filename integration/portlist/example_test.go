package portlist_test

import (
	"fmt"

	"ssmonitor/integration/portlist"
)

func ExampleParseSpec() {
	for _, spec := range []string{"20000=alice", "21000-21001/udp", "8388@172.17.0.2@[fd00::2]:9000", "80a"} {
		ports, targets, err := portlist.ParseSpec(spec)
		fmt.Println(ports, targets, err)
	}
	// Output:
	// [{20000 3 alice false}] [] <nil>
	// [{21000 2  false} {21001 2  false}] [] <nil>
	// [{8388 3  false}] [tcp 172.17.0.2:8388 tcp [fd00::2]:9000 udp 172.17.0.2:8388 udp [fd00::2]:9000] <nil>
	// [] [] port "80a": want a port number from 1 to 65535, as in 20000, 20000-20009, 20000/tcp or 20000=alice
}
