package publishing_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ssmonitor/internal/publishing"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

func TestUplinks(t *testing.T) {
	testkit.NetworkNamespace(t)
	for _, step := range []struct {
		routes string // separated by semicolons
		want   []string
	}{
		{"", nil},
		{"route add default dev a", []string{"a"}},
		{"route add 192.0.0.0/2 dev b; route add default dev a metric 9", []string{"a"}},
		{"route add 128.0.0.0/1 dev b", []string{"a", "b"}},
		{"-6 route add default dev c", []string{"a", "b", "c"}},
		{"route flush table main; route add default nexthop dev d nexthop dev b", []string{"b", "c", "d"}},
		{"route flush table main; -6 route flush table main; route add default dev a table 100", []string{"a"}},
		{"-6 route add unreachable default table 101", []string{"a"}},
	} {
		script := "for link in a b c d; do ip link add name $link type veth peer name peer-$link; ip link set dev $link up; ip link set dev peer-$link up; done 2>/dev/null\ntrue\n"
		for route := range strings.SplitSeq(step.routes, ";") {
			if route != "" {
				script += "ip " + route + " || exit\n"
			}
		}
		if output, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step.routes, err, output)
		}
		scene, err := publishing.Observe(nft.HookHost, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(slices.Values(scene.Host.Uplinks)); !slices.Equal(got, step.want) {
			t.Errorf("%s: got the uplinks %q, want %q", step.routes, got, step.want)
		}
	}
}
