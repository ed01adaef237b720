package accounting

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestSetPortsIsInForceAfterAnError(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.fail["attach"] = errors.New("refused")
	if err := b.SetPorts(aliceAndBob); err == nil {
		t.Fatal("the failure is not returned")
	}
	if got := b.Ports(); !slices.Equal(got, aliceAndBob) {
		t.Errorf("got %v, want %v", got, aliceAndBob)
	}
	delete(b.fail, "attach")
	b.tick(t)
	b.traffic(t, bobIn, 1)

	b.fail["detach"] = errors.New("refused")
	if err := b.SetPorts(aliceOnly); err == nil {
		t.Fatal("the failure is not returned")
	}
	delete(b.fail, "detach")
	b.tick(t)
	b.tick(t)
	if b.kernel.counter(bobIn) != nil {
		t.Error("a removed port still has its counter")
	}
	if got := b.saved(bobIn); got != count(1) {
		t.Errorf("got %v saved, want %v", got, count(1))
	}
}

// TestMeterDeletesWhatSomebodyAttachedAgain lets another process attach a port
// between its detaching and its deletion.
func TestMeterDeletesWhatSomebodyAttachedAgain(t *testing.T) {
	b := newBench(t, aliceAndBob)
	b.setPorts(t, aliceOnly)
	b.kernel.counter(bobIn).attached = true
	b.tick(t)
	b.expectLoggedOnce(t, "could not be deleted")
	b.traffic(t, bobIn, 3)
	b.tick(t)
	b.tick(t)
	if b.kernel.counter(bobIn) != nil {
		t.Error("a removed port still has its counter")
	}
	if got := b.saved(bobIn); got != count(3) {
		t.Errorf("got %v saved, want %v", got, count(3))
	}
	b.expectLoggedOnce(t, "could not be deleted")
}

func TestMeterKeepsItsOwnListOfPorts(t *testing.T) {
	b := newBench(t, nil)
	ports := slices.Clone(aliceAndBob)
	b.setPorts(t, ports)
	ports[0].Name = "mallory"
	b.Ports()[1].Name = "mallory"
	for _, port := range b.tick(t).Ports {
		if port.Port.Name == "mallory" {
			t.Errorf("port %d: got the name that the caller changed in its own list", port.Port.Number)
		}
	}
}

var toAlice = []Target{{UDP, netip.MustParseAddrPort("172.30.0.2:8388"), 20000}}

// TestSetForwardingIsNoRepair has ports published: what changes in the table is the
// meter's own doing.
func TestSetForwardingIsNoRepair(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.kernel.table.targets = toAlice // left by an agent before this one
	for _, targets := range [][]Target{nil, toAlice, nil, toAlice, toAlice} {
		if err := b.SetForwarding(Forwarding{Known: true, Targets: targets}); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Targets(); err != nil || !slices.Equal(got, targets) {
			t.Errorf("the table has the targets %v, %v, want %v", got, err, targets)
		}
		b.tick(t)
	}
	if got := b.Status(); got.Reinstalls != 0 || got.Uncertain != 0 || b.log.Len() > 0 {
		t.Errorf("got %d repairs, %s uncertain, and the log\n%s", got.Reinstalls, got.Uncertain, &b.log)
	}
	b.kernel.table.targets = nil
	b.tick(t)
	if got := b.Status().Reinstalls; got != 1 {
		t.Errorf("of targets that others removed: got %d repairs, want 1", got)
	}
}

// TestSetForwardingFindsDriftFirst changes targets while others have damaged the table:
// that is still a repair, and may have lost something.
func TestSetForwardingFindsDriftFirst(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.kernel.table.cut = true
	if err := b.SetForwarding(Forwarding{Known: true, Targets: toAlice}); err != nil {
		t.Fatal(err)
	}
	b.tick(t)
	if got := b.Status(); got.Reinstalls != 1 || got.Uncertain == 0 {
		t.Errorf("got %d repairs, %s uncertain, want 1 and some", got.Reinstalls, got.Uncertain)
	}
}

func TestSetForwardingThatFailsIsRepeated(t *testing.T) {
	b := newBench(t, aliceOnly)
	b.fail["install"] = errors.New("refused")
	if err := b.SetForwarding(Forwarding{Known: true, Targets: toAlice}); err == nil {
		t.Fatal("the failure is not returned")
	}
	delete(b.fail, "install")
	b.tick(t)
	if got, _ := b.Targets(); !slices.Equal(got, toAlice) {
		t.Errorf("the table has the targets %v, want %v", got, toAlice)
	}
}

// TestTargetsBeforeTheFirstPorts are installed together with these.
func TestTargetsBeforeTheFirstPorts(t *testing.T) {
	b := newBench(t, nil)
	if err := b.SetForwarding(Forwarding{Known: true, Targets: toAlice}); err != nil {
		t.Fatal(err)
	}
	b.expectJournal(t)
	b.setPorts(t, aliceOnly)
	if got, _ := b.Targets(); !slices.Equal(got, toAlice) {
		t.Errorf("the table has the targets %v, want %v", got, toAlice)
	}
}
