package accounting

import (
	"errors"
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
