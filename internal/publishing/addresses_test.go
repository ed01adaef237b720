package publishing_test

import (
	"os/exec"
	"strings"
	"testing"

	"ssmonitor/internal/publishing"
	"ssmonitor/internal/testkit"
)

func TestAddressWatch(t *testing.T) {
	testkit.NetworkNamespace(t)
	watch, err := publishing.WatchAddresses()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Close() }()
	for _, step := range []struct {
		command string
		changes int
	}{
		{"", 0},
		{"address add 192.0.2.1/32 dev lo", 1},
		{"route add blackhole 198.51.100.0/24", 0},
		{"route add default dev lo", 1},
		{"", 0},
		{"route add default dev lo table 100", 1},
		{"route delete 198.51.100.0/24", 0},
		{"address delete 192.0.2.1/32 dev lo", 1},
		{"", 0},
		{"address add 2001:db8::1/128 dev lo", 1}, // whose state changes later
	} {
		if step.command != "" {
			if output, err := exec.Command("sh", "-c", "ip "+step.command).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v\n%s", step.command, err, output)
			}
		}
		for i := range min(2, 2-strings.Count(step.command, "::")) {
			if got, want := watch.Changed(), step.changes > i; got != want {
				t.Errorf("ip %s: question %d: got %t, want %t", step.command, i+1, got, want)
			}
		}
	}
	var none *publishing.AddressWatch
	if none.Changed() || none.Close() != nil {
		t.Error("what does not watch has noticed something")
	}
}

// More changes than a socket holds are changes.
func TestAddressWatchThatIsFull(t *testing.T) {
	testkit.NetworkNamespace(t)
	watch, err := publishing.WatchAddresses()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Close() }()
	script := "for i in $(seq 1000); do echo address add 127.1.$((i / 250)).$((i % 250 + 1))/32 dev lo; done | ip -batch -"
	if output, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, output)
	}
	for _, want := range []bool{true, false} {
		if got := watch.Changed(); got != want {
			t.Errorf("got %t, want %t", got, want)
		}
	}
}
