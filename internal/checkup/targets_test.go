package checkup

import (
	"slices"
	"strings"
	"testing"

	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
)

func TestListTargets(t *testing.T) {
	for _, test := range []struct {
		name, found, list string
		want              []string
	}{
		{"no targets", "1", "1\n", nil},
		{"the same", "1@172.17.0.2@[fd00::2]", "2\n1/udp@[fd00::2]@172.17.0.2\n1/tcp@172.17.0.2@[fd00::2]\n", nil},
		{"more in the list", "1", "1@172.17.0.2\n", nil},
		{"none in the list", "1/tcp@172.17.0.2:3", "1\n", []string{"wrong port-list-incomplete port 1 to tcp 172.17.0.2:3"}},
		{"another one in the list", "1/tcp@172.17.0.2:3", "1/tcp@172.17.0.2:4\n", []string{"wrong port-list-incomplete port 1 to tcp 172.17.0.2:3"}},
		{"one of a protocol is missing", "1@172.17.0.2", "1/tcp@172.17.0.2\n", []string{"wrong port-list-incomplete port 1 to udp 172.17.0.2:1"}},
		{"many are missing", "1-9/tcp@172.17.0.2", "1-9\n", []string{"wrong port-list-incomplete port 8 to tcp 172.17.0.2:8, and 1 more"}},
		{"malformed list", "1@172.17.0.2", "80a\n", nil},
		{"no list", "1@172.17.0.2", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			ports, targets, err := portlist.ParseSpec(test.found)
			if err != nil {
				t.Fatal(err)
			}
			c := &checker{Check: Check{Machine: new(Machine), Sources: sources.Sources{Ports: ports, Targets: targets}, Settings: &settings.Settings{List: list(t, test.list)}}}
			c.checkPorts()
			c.found = slices.DeleteFunc(c.found, func(f finding.Finding) bool { return !strings.Contains(f.Message, "where ports are forwarded") })
			wantFindings(t, c.found, test.want...)
		})
	}
}
