package endtoend_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
)

// TestDetachedCountersOfManyPortsAreRemoved starts an agent after another one was
// killed: 10,000 ports were removed from the list, and their elements were
// deleted, but not their counters. No report takes long meanwhile.
func TestDetachedCountersOfManyPortsAreRemoved(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand ports take a while")
	}
	const most = 2 * time.Second
	server := newServer(t)
	agent := server.startAgent(t, "--csv", "", "--port", "20000-29999")
	agent.waitSaying(t, "counting")
	server.sendToItself(t, 20000, 10)
	agent.report(t)
	agent.kill()
	server.nft(t, "flush map inet ssmonitor ports-in\nflush map inet ssmonitor ports-out\n"+
		"add element inet ssmonitor ports-in { udp . 20000 : \"udp-20000-in\" }\n")

	began := time.Now()
	agent = server.startAgent(t, "--port", "20000")
	var longest time.Duration
	for {
		asked := time.Now()
		agent.report(t)
		longest = max(longest, time.Since(asked))
		left := strings.Count(server.run(t, "nft", "--stateless", "list", "counters", "table", "inet", "ssmonitor"), "counter ")
		if left == 4 {
			break
		}
		if time.Since(began) > 4*patience {
			t.Fatalf("after %s: got %d counters, want none", time.Since(began), left)
		}
	}
	t.Logf("39,996 counters were removed in %s, the longest report took %s", time.Since(began), longest)
	if longest > most {
		t.Errorf("got a report that took %s, want at most %s", longest, most)
	}
	agent.waitServing(t, 20000)
	agent.expectPackets(t, 10, map[int]uint64{20000: 10})
	agent.stop(t)
}

// TestDriftBehindManyCommitsIsFound stops the agent, deletes a rule, and then
// makes other commits until the low 16 bits of the ruleset's generation are the
// same as before.
func TestDriftBehindManyCommitsIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("65,536 commits take a while")
	}
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000")
	agent.waitIntervals(t, 2)
	right := server.listing(t)
	agent.freeze(t)
	began := time.Now()
	server.nft(t, "flush chain inet ssmonitor input\n")
	server.library(t, func(c *nftables.Conn) error {
		theirs := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "theirs"}
		for commit := range 1<<16 - 1 {
			if commit%2 == 0 {
				c.AddTable(theirs)
			} else {
				c.DelTable(theirs)
			}
			if err := c.Flush(); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("65,536 commits took %s", time.Since(began))
	agent.signal(syscall.SIGCONT)
	server.waitTable(t, right, 2*agentInterval)
	server.sendToItself(t, 20000, 10)
	agent.expectPackets(t, 10, map[int]uint64{20000: 10})
	agent.stop(t)
}
