package publishing

import (
	"os/exec"
	"slices"
	"testing"

	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// ip runs ip(8) with the arguments of a line.
func ip(t *testing.T, line string) {
	t.Helper()
	testkit.Require(t, "ip")
	if output, err := exec.Command("sh", "-c", "ip "+line).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", line, err, output)
	}
}

func TestWatch(t *testing.T) {
	testkit.NetworkNamespace(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		ip(t, "link add name "+name+" type veth peer name peer-"+name)
		for _, end := range []string{name, "peer-" + name} {
			ip(t, "link set dev "+end+" addrgenmode none") // or addresses would come by themselves
			ip(t, "link set dev "+end+" up")
		}
	}
	ip(t, "route add default dev c table 100")
	ip(t, "route add default table 102 nexthop dev d nexthop dev e")
	ip(t, "-6 route add default dev f table 103")
	ip(t, "-6 route add unreachable default table 104")
	ip(t, "route add 192.0.0.0/2 dev b table 105")
	var watch hostWatch
	for _, step := range []struct {
		command string
		changed bool
		uplinks []string
	}{
		{"", false, []string{"c"}}, // nothing has been observed
		{"", false, []string{"c"}},
		{"address add 192.0.2.1/32 dev lo", true, []string{"c"}},
		{"route add blackhole 198.51.100.0/24", false, []string{"c"}},
		{"route add default dev a", true, []string{"a", "c"}},
		{"route change default dev b", true, []string{"b", "c"}},
		{"route change default dev b metric 0 initcwnd 9", false, []string{"b", "c"}},
		{"-6 route add ::/1 dev a table 101", true, []string{"a", "b", "c"}},
		{"route delete 198.51.100.0/24", false, []string{"a", "b", "c"}},
		{"address delete 192.0.2.1/32 dev lo", true, []string{"a", "b", "c"}},
		{"address add 2001:db8::1/128 dev lo", true, []string{"a", "b", "c"}},
		{"address change 2001:db8::1/128 dev lo preferred_lft 0", false, []string{"a", "b", "c"}},
	} {
		if step.command != "" {
			ip(t, step.command)
		}
		if got := watch.changed(); got != step.changed {
			t.Errorf("ip %s: got changed %t, want %t", step.command, got, step.changed)
		}
		scene, err := watch.observe(nft.HookHost, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := append(step.uplinks, "d", "e", "f") // of other tables
		if got := slices.Sorted(slices.Values(scene.Host.Uplinks)); !slices.Equal(got, want) {
			t.Errorf("ip %s: got the uplinks %q, want %q", step.command, got, want)
		}
	}
}
