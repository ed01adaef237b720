package main

import (
	"os/exec"
	"testing"
)

// TestSetupAfterATargetWasGivenAway has a container that is published as a port that is
// counted, and then as another one. What setup installs is what check wants.
func TestSetupAfterATargetWasGivenAway(t *testing.T) {
	p := newPlace(t)
	if output, err := exec.Command("ip", "address", "add", "192.0.2.7/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for _, port := range []string{"20000", "30000", "20001"} {
		p.nft("flush ruleset ip; table ip nat { chain c { type nat hook prerouting priority dstnat; fib daddr type local tcp dport " + port + " dnat to 172.17.0.2:8388; }; }")
		p.setup()
		_, output, _ := call(t, p.checkArguments("")...)
		wantParts(t, output, "ok      table inet ssmonitor counts 2 ports at hook host")
	}
}
