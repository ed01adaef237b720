package portlist_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
)

// targetsIn returns the targets of a specification.
func targetsIn(t *testing.T, spec string) []accounting.Target {
	t.Helper()
	_, targets, err := portlist.ParseSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

func TestParseSpecReadsTargets(t *testing.T) {
	for spec, want := range map[string]string{
		"8388@172.17.0.2:18388":                      "8388: tcp 172.17.0.2:18388, udp 172.17.0.2:18388",
		"8388@172.17.0.2":                            "8388: tcp 172.17.0.2:8388, udp 172.17.0.2:8388",
		"8388/udp@[fd00::2]:53=a@b:c":                "8388/udp=a@b:c: udp [fd00::2]:53",
		"8388/tcp@[fd00::2]@172.17.0.2 = alice":      "8388/tcp=alice: tcp 172.17.0.2:8388, tcp [fd00::2]:8388",
		"8388/tcp@172.17.0.2@172.17.0.2:8388":        "8388/tcp: tcp 172.17.0.2:8388",
		"8388/tcp@[::ffff:172.17.0.2]@169.254.1.2":   "8388/tcp: tcp 169.254.1.2:8388, tcp 172.17.0.2:8388",
		"8388/tcp@[2001:DB8:0::2]":                   "8388/tcp: tcp [2001:db8::2]:8388",
		"8388-8389/udp@172.17.0.2":                   "8388/udp 8389/udp: udp 172.17.0.2:8388, udp 172.17.0.2:8389",
		"8388-8388/udp@172.17.0.2:1":                 "8388/udp: udp 172.17.0.2:1",
		"8388=alice@172.17.0.2:8388 @[fd00::2]:8388": "8388=alice@172.17.0.2:8388 @[fd00::2]:8388: ",
	} {
		ports, targets, err := portlist.ParseSpec(spec)
		if err != nil {
			t.Errorf("ParseSpec(%q): %v", spec, err)
			continue
		}
		var numbers, places []string
		for _, port := range ports {
			numbers = append(numbers, portlist.FormatSpec(port))
		}
		for _, target := range targets {
			places = append(places, target.String())
		}
		if got := strings.Join(numbers, " ") + ": " + strings.Join(places, ", "); got != want {
			t.Errorf("ParseSpec(%q) = %s, want %s", spec, got, want)
		}
	}
}

func TestParseSpecSaysWhatIsWrongWithATarget(t *testing.T) {
	for _, test := range []struct{ spec, value, text string }{
		{"8388@", "", "address of a container"},
		{"8388@@172.17.0.2", "", "address of a container"},
		{"8388@web", "web", "address of a container"},
		{"8388@172.17.0.2/tcp", "172.17.0.2/tcp", "address of a container"},
		{"8388@172.17.0.2:", "172.17.0.2:", "address of a container"},
		{"8388@172.17.0.2:0", "172.17.0.2:0", "address of a container"},
		{"8388@172.17.0.2:70000", "172.17.0.2:70000", "address of a container"},
		{"8388@172.17.0.2:8388-8389", "172.17.0.2:8388-8389", "address of a container"},
		{"8388@fd00::2", "fd00::2", "address of a container"},
		{"8388@[fd00::2]8388", "[fd00::2]8388", "address of a container"},
		{"8388@[172.17.0.2]", "[172.17.0.2]", "address of a container"},
		{"8388@[fd00::2", "[fd00::2", "address of a container"},
		{"8388@ 172.17.0.2", " 172.17.0.2", "address of a container"},
		{"8388@172.17.0.2@127.0.0.1:1", "127.0.0.1:1", "not loopback,"},
		{"8388@[::1]", "[::1]", "not loopback,"},
		{"8388@[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]", "not loopback,"},
		{"8388@0.0.0.0", "0.0.0.0", "an address that the host forwards to"},
		{"8388@[::]:8388", "[::]:8388", "an address that the host forwards to"},
		{"8388@224.0.0.1", "224.0.0.1", "multicast"},
		{"8388@[ff02::1]", "[ff02::1]", "multicast"},
		{"8388@255.255.255.255", "255.255.255.255", "an address that the host forwards to"},
		{"8388@[fe80::2]", "[fe80::2]", "an address that the host forwards to"},
		{"8388@[fd00::2%eth0]:8388", "[fd00::2%eth0]:8388", "without a zone"},
		{"8388-8389@172.17.0.2:8388", "172.17.0.2:8388", "without a port after a range"},
		{"8388 @172.17.0.2", "8388 ", "a port number"},
		{"8388@172.17.0.2=", "", "a name"},
		{"1-65535@1.1.1.1@1.1.1.2@1.1.1.3", "1-65535@1.1.1.1@1.1.1.2@1.1.1.3", "fewer ports or targets"},
	} {
		_, _, err := portlist.ParseSpec(test.spec)
		wrong, ok := errors.AsType[*portlist.SpecError](err)
		if !ok {
			t.Errorf("ParseSpec(%q) = %v, want a SpecError", test.spec, err)
			continue
		}
		if wrong.Spec != test.spec || wrong.Value != test.value || !strings.Contains(err.Error(), test.text) {
			t.Errorf("ParseSpec(%q): the value at fault is %q in %v, want %q and %q", test.spec, wrong.Value, err, test.value, test.text)
		}
	}
}

// TestTargetsSurviveTheList has a port that is forwarded to one container for TCP
// and to another for UDP, which takes two lines.
func TestTargetsSurviveTheList(t *testing.T) {
	want := []portlist.Entry{
		{Port: port(1, accounting.TCPAndUDP, "a"), Targets: slices.Concat(targetsIn(t, "1/tcp@172.17.0.2:2"), targetsIn(t, "1/udp@172.17.0.3"))},
		{Port: port(2, accounting.TCPAndUDP, "b"), Targets: targetsIn(t, "2/udp@172.17.0.2:2")},
		{Port: port(3, accounting.OnlyTCP, ""), Targets: targetsIn(t, "3/tcp@172.17.0.2@[fd00::2]")},
		{Port: port(4, accounting.TCPAndUDP, "")},
	}
	list, got := rewrite(t, want...)
	if len(got) != 6 {
		t.Errorf("want 6 lines:\n%s", list)
	}
	wantPorts, _ := accounting.Union(portlist.Ports(want))
	gotPorts, _ := accounting.Union(portlist.Ports(got))
	if diff := cmp.Diff(wantPorts, gotPorts); diff != "" {
		t.Errorf("%s\n%s", diff, list)
	}
	wantTargets, _ := wantPorts.Targets(portlist.Targets(want))
	gotTargets, _ := gotPorts.Targets(portlist.Targets(got))
	if len(wantTargets) != 5 || !slices.Equal(gotTargets, wantTargets) {
		t.Errorf("got %v, want %v in\n%s", gotTargets, wantTargets, list)
	}
}
