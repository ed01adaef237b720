package finding_test

import (
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
)

func portsOf(numbers ...uint16) (ports accounting.Ports) {
	for _, number := range numbers {
		ports = append(ports, accounting.Port{Number: number, Protocols: accounting.TCPAndUDP})
	}
	return ports
}

func TestDescribePorts(t *testing.T) {
	for _, test := range []struct {
		want  string
		ports accounting.Ports
	}{
		{"no port", nil},
		{"port 7", portsOf(7)},
		{"ports 7-8", portsOf(8, 7)},
		{"ports 1, 3-5, 65535", portsOf(1, 3, 4, 5, 65535)},
		{"ports 1/udp, 2-3", accounting.Ports{
			{Number: 1, Protocols: accounting.OnlyUDP}, {Number: 2, Protocols: accounting.TCPAndUDP}, {Number: 3, Protocols: accounting.TCPAndUDP}}},
		{"ports 2, 4, 6, 8, 10, 12, 14, 16, and 2 more", portsOf(2, 4, 6, 8, 10, 12, 14, 16, 18, 20)},
	} {
		if got := finding.DescribePorts(test.ports); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestLevelString(t *testing.T) {
	for level, want := range map[finding.Level]string{
		finding.OK: "ok", finding.Note: "note", finding.Unknown: "unknown", finding.Wrong: "wrong", 7: "level 7", -1: "level -1",
	} {
		if got := level.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
