package publishing

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/throttle"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

// TestTrackerIsOutdated has changes of the rules, and decisions that can change without one.
func TestTrackerIsOutdated(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, "add table inet other")
	now, err := survey.Generation()
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, test := range []struct {
		name    string
		tracker Tracker
		want    bool
	}{
		{"nothing", Tracker{generation: now, last: ago(time.Hour)}, false},
		{"no decision yet", Tracker{}, false},
		{"other rules", Tracker{generation: now - 1, last: ago(time.Hour)}, true},
		{"connections that may have ended", Tracker{generation: now, transient: true, last: ago(transientInterval)}, true},
		{"connections just now", Tracker{generation: now, transient: true, last: ago(transientInterval / 2)}, false},
		{"a decision that failed", Tracker{generation: now, failed: true, last: ago(retryInterval)}, true},
		{"a decision that failed just now", Tracker{generation: now - 1, failed: true, last: ago(retryInterval / 2)}, false},
		{"another hook", Tracker{generation: now - 1, last: ago(time.Hour), hook: nft.HookContainer}, false},
	} {
		if test.tracker.hook == "" {
			test.tracker.hook = nft.HookHost
		}
		test.tracker.budget = throttle.Budget{Share: rulesetShare, Burst: rulesetBurst}
		if got := test.tracker.Outdated(0); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
}

// TestBusyProcessorDelaysNoLook has a look that waits for long, as on a busy machine,
// but takes no processor time: the next change of the rules is seen soon.
func TestBusyProcessorDelaysNoLook(t *testing.T) {
	testkit.NetworkNamespace(t)
	looker := NewTracker(nft.HookHost)
	if _, err := looker.Decide(nil, nil, func() ([]accounting.Target, error) {
		time.Sleep(2 * rulesetBurst)
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	testkit.NFT(t, "add table inet other")
	testkit.Eventually(t, rulesetShare*time.Second/4, func() error {
		if !looker.Outdated(0) {
			return errors.New("the change of the rules is not seen")
		}
		return nil
	})
}

// TestLooksThatTakeMuchTakeTurns has a look that keeps a processor busy.
func TestLooksThatTakeMuchTakeTurns(t *testing.T) {
	testkit.NetworkNamespace(t)
	looker := NewTracker(nft.HookHost)
	if _, err := looker.Decide(nil, nil, func() ([]accounting.Target, error) {
		// On a busy machine that takes long, which earns it time again.
		before, began := throttle.ProcessorTime(), time.Now()
		for throttle.ProcessorTime()-before < rulesetBurst+300*time.Millisecond+time.Since(began)/rulesetShare {
		}
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	testkit.NFT(t, "add table inet other")
	if looker.Outdated(0) {
		t.Error("another look follows at once")
	}
}

// TestAddressMakesADecisionOutdated adds an address to the host, for which rules may
// translate.
func TestAddressMakesADecisionOutdated(t *testing.T) {
	testkit.Require(t, "ip")
	testkit.NetworkNamespace(t)
	looker := NewTracker(nft.HookHost)
	if _, err := looker.Decide(nil, nil, func() ([]accounting.Target, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if looker.Outdated(0) {
		t.Error("nothing has changed")
	}
	if output, err := exec.Command("ip", "address", "add", "192.0.2.7/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if !looker.Outdated(0) {
		t.Error("the address is not noticed")
	}
}

// TestTransientDecision has a rule that connections show, at most.
func TestTransientDecision(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.NFT(t, "table ip nat { chain c { type nat hook prerouting priority dstnat; tcp dport 20000 meta mark 5 dnat to 172.17.0.2; }; }")
	tracker := NewTracker(nft.HookHost)
	ports := accounting.Ports{{Number: 20000, Protocols: accounting.OnlyTCP}}
	if _, err := tracker.Decide(ports, nil, func() ([]accounting.Target, error) { return nil, nil }); err != nil || !tracker.transient {
		t.Errorf("got %v, want a decision that may change", err)
	}
}

// TestSetPublishedForgets has ports that were published at an earlier time. What
// it was given may belong to somebody else.
func TestSetPublishedForgets(t *testing.T) {
	port := accounting.Port{Number: 20000, Protocols: accounting.TCPAndUDP, Published: true}
	given := sources.Result{Ports: accounting.Ports{port}, Entries: []portlist.Entry{{Port: port}}}
	found := given
	SetPublished(&found, nil)
	if found.Ports[0].Published || found.Entries[0].Published || !given.Ports[0].Published || !given.Entries[0].Published {
		t.Errorf("got %+v, and of what was given %+v", found, given)
	}
}
