package portadvice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

func TestLocalPorts(t *testing.T) {
	const (
		chosen     = "/proc/sys/net/ipv4/ip_local_port_range"
		reserved   = "/proc/sys/net/ipv4/ip_local_reserved_ports"
		permanent  = " > /etc/sysctl.d/60-ssmonitor.conf"
		containers = "\nand set the same in the containers' network namespaces"
	)
	remedy := func(ports string) string {
		const setting = "net.ipv4.ip_local_reserved_ports="
		return "reserve them: sysctl -w " + setting + ports + "\nand for the next boot: echo " + setting + ports + permanent
	}
	for _, test := range []struct {
		name             string
		chosen, reserved string // empty: there is no such file
		hook             nft.Hook
		ports            accounting.Ports
		subject, remedy  string // empty: nothing is found
	}{
		{"the kernel's defaults, other ports", "32768\t60999\n", "\n", "host", portsOf(20000, 32767, 61000), "", ""},
		{"the ends of the range", "32768\t60999\n", "\n", "host", portsOf(32767, 32768, 60999, 61000), "ports 32768, 60999: ", remedy("32768,60999")},
		{"consecutive ports", "32768\t60999\n", "\n", "host", portsOf(40000, 40001, 40002), "ports 40000-40002: ", remedy("40000-40002")},
		{"one protocol is enough", "32768\t60999\n", "\n", "host", accounting.Ports{{Number: 40000, Protocols: accounting.OnlyTCP}}, "port 40000: ", remedy("40000")},
		{"some are reserved", "32768\t60999\n", "8080,40001,40003-40005\n", "host", portsOf(40000, 40001, 40002, 40004, 40006),
			"ports 40000, 40002, 40006: ", remedy("8080,40000-40006")},
		{"all are reserved", "32768\t60999\n", "40000-40001\n", "host", portsOf(40000, 40001), "", ""},
		{"every port", "1\t65535\n", "\n", "host", portsOf(1, 65535), "ports 1, 65535: ", remedy("1,65535")},
		{"hook container", "32768\t60999\n", "\n", "container", portsOf(40000), "port 40000: ", remedy("40000") + containers},
		{"no settings", "", "", "host", portsOf(40000), "", ""},
		{"no reserved ports", "32768\t60999\n", "", "host", portsOf(40000), "", ""},
		{"not a range", "some ports\n", "\n", "host", portsOf(40000), "", ""},
		{"not ports", "32768\t60999\n", "1-70000\n", "host", portsOf(40000), "", ""},
		{"no port", "32768\t60999\n", "\n", "host", nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for path, content := range map[string]string{chosen: test.chosen, reserved: test.reserved} {
				if content != "" {
					path = filepath.Join(root, path)
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					testkit.WriteFile(t, path, content)
				}
			}
			found := Findings(root, test.ports, test.hook)
			if test.subject == "" {
				if len(found) > 0 {
					t.Errorf("got %+v, want nothing", found)
				}
				return
			}
			if len(found) != 1 || found[0].ID != finding.LocalPortRange || found[0].Level != finding.Note || !strings.Contains(found[0].Message, test.subject) || found[0].Remedy != test.remedy {
				t.Errorf("got %+v\nwant %s with the remedy\n%s", found, test.subject, test.remedy)
			}
		})
	}
}

func portsOf(numbers ...uint16) (ports accounting.Ports) {
	for _, number := range numbers {
		ports = append(ports, accounting.Port{Number: number, Protocols: accounting.TCPAndUDP})
	}
	return ports
}
