package connections

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

func addressLimitsOf(t *testing.T, texts ...string) usage.Limits {
	t.Helper()
	limits, err := ParseLimits(texts)
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

func TestParseLimits(t *testing.T) {
	limits := addressLimitsOf(t, "3", "alice=5", "bob=none", "carol=0", "20000=7", "port 20001=8")
	for _, test := range []struct {
		name    string
		port    uint16
		want    uint64
		limited bool
	}{
		{"alice", 1, 5, true}, {"bob", 1, 0, false}, {"carol", 1, 0, false},
		{"dave", 20000, 3, true}, {"", 20000, 7, true}, {"", 20001, 8, true}, {"", 20002, 3, true},
	} {
		if got, limited := limits.For(usage.ClientOf(test.name, test.port)); got != test.want || limited != test.limited {
			t.Errorf("%q on port %d: got %d, %t, want %d, %t", test.name, test.port, got, limited, test.want, test.limited)
		}
	}
	for _, test := range []struct {
		texts []string
		want  bool
	}{{nil, false}, {[]string{"0"}, false}, {[]string{"none", "alice=0"}, false}, {[]string{"1"}, true}, {[]string{"alice=1"}, true}} {
		if got := addressLimitsOf(t, test.texts...).Any(); got != test.want {
			t.Errorf("%q: Any: got %t, want %t", test.texts, got, test.want)
		}
	}
	for _, test := range []struct{ text, want string }{
		{"many", `addresses "many": want a number of addresses, such as 3, or none`},
		{"-1", "want a number of addresses"}, {"1.5", "want a number of addresses"}, {"", "want a number of addresses"},
		{"alice=", "want a number of addresses"}, {"=3", "want a client before the equals sign, as in alice=5"}, {"99999999999", "want a number of addresses"},
	} {
		if _, err := ParseLimits([]string{test.text}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.text, err, test.want)
		}
	}
	if _, err := ParseLimits([]string{"3", "4"}); err == nil || !strings.Contains(err.Error(), "this is the second") {
		t.Errorf("two limits: got %v", err)
	}
}

// TestWatch sets the addresses of alice's port, whose limit is 3, for each
// 10 seconds, and lists what is reported and when.
func TestWatch(t *testing.T) {
	const unknown = -1
	for _, test := range []struct {
		name   string
		counts []int32
		want   []string
	}{
		{"at the limit", []int32{3, 3, 3, 3, 3, 3, 3, 3}, nil},
		{"over it for less than a minute", []int32{4, 4, 4, 4, 4, 4, 3, 4, 4, 4, 4, 4, 4}, nil},
		{"over it for a minute", []int32{0, 4, 4, 4, 4, 4, 4, 9, 4, 4}, []string{"70s: 9 over"}},
		{"over it for long", slices.Repeat([]int32{5}, 100), []string{"60s: 5 over"}},
		{"and under it for less than a minute", []int32{4, 4, 4, 4, 4, 4, 4, 1, 1, 1, 1, 1, 1, 4, 4}, []string{"60s: 4 over"}},
		{"and no longer", []int32{4, 4, 4, 4, 4, 4, 4, 1, 1, 1, 1, 1, 1, 2, 1}, []string{"60s: 4 over", "130s: 2 under"}},
		{"and again", slices.Concat(slices.Repeat([]int32{4}, 7), slices.Repeat([]int32{3}, 7), slices.Repeat([]int32{4}, 7)),
			[]string{"60s: 4 over", "130s: 3 under", "200s: 4 over"}},
		{"unknown in between", []int32{4, 4, 4, unknown, 4, 4, 4, 4, 4, 4, 4, 4}, []string{"100s: 4 over"}},
		{"unknown once it is over", slices.Concat(slices.Repeat([]int32{4}, 7), slices.Repeat([]int32{unknown}, 9), []int32{4, 4}), []string{"60s: 4 over"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := newCrowd()
			start := source.clock
			watch := NewWatch(addressLimitsOf(t, "3", "bob=none"), NewMeter(source, source.now, quietBoard()), source.now)
			var got []string
			for i, addresses := range test.counts {
				report := crowdReport()
				if addresses == unknown {
					report.Ports[0].Port.Protocols = accounting.OnlyUDP
				}
				source.of[20000] = accounting.Connections{Established: 20, Addresses: addresses}
				source.of[20001] = accounting.Connections{Established: 20, Addresses: 20} // bob has no limit
				source.clock = start.Add(time.Duration(i) * addressGap)
				for _, change := range watch.Check(report) {
					word := map[bool]string{true: "over", false: "under"}[change.Over]
					got = append(got, fmt.Sprintf("%gs: %d %s", source.clock.Sub(start).Seconds(), change.Used, word))
					if change.Client.Name != "alice" || change.Limit != 3 {
						t.Errorf("got %+v, want alice's limit of 3", change)
					}
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestWatchCountsOnlyWithALimit lets an hour of ticks pass.
func TestWatchCountsOnlyWithALimit(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits []string
		want   int
	}{{"unset", nil, 0}, {"off", []string{"0", "alice=none"}, 0}, {"set", []string{"3"}, 360}} {
		t.Run(test.name, func(t *testing.T) {
			source := newCrowd()
			watch := NewWatch(addressLimitsOf(t, test.limits...), NewMeter(source, source.now, quietBoard()), source.now)
			report := crowdReport()
			for range 1800 {
				watch.Check(report)
				source.clock = source.clock.Add(2 * time.Second)
			}
			if source.counted != test.want {
				t.Errorf("counted %d times, want %d", source.counted, test.want)
			}
		})
	}
}

// TestWatchForgetsPorts removes a port that is over its limit.
func TestWatchForgetsPorts(t *testing.T) {
	source := newCrowd()
	watch := NewWatch(addressLimitsOf(t, "3"), NewMeter(source, source.now, quietBoard()), source.now)
	changes := 0
	for range 7 {
		changes += len(watch.Check(crowdReport()))
		source.clock = source.clock.Add(addressGap)
	}
	without := crowdReport()
	without.Ports = without.Ports[1:]
	changes += len(watch.Check(without))
	if changes != 1 || len(watch.ports) != 0 {
		t.Errorf("got %d changes, and %d ports are remembered, want 1 and none", changes, len(watch.ports))
	}
}
