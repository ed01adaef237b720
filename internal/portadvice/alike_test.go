package portadvice

import (
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/nft"
)

func namedPorts(names ...string) (ports accounting.Ports) {
	for i, name := range names {
		ports = append(ports, accounting.Port{Number: uint16(i + 1), Protocols: accounting.TCPAndUDP, Name: name})
	}
	return ports
}

func TestAlikeNames(t *testing.T) {
	for _, test := range []struct {
		name  string
		ports accounting.Ports
		want  []string
	}{
		{"one client with two ports", namedPorts("alice", "alice"), nil},
		{"no names", namedPorts("", ""), nil},
		{"other names", namedPorts("alice", "Alice", "bob", "alicé"), nil},
		{"a Cyrillic letter", namedPorts("alice", "bob", "\u0430lice", "alice"), []string{`"alice" of port 1, "` + "\u0430" + `lice" of port 3 (with U+0430)`}},
		{"a joiner", namedPorts("alice", "al\u200dice"), []string{`"alice" of port 1, "al\u200dice" of port 2 (with U+200D)`}},
		{"two groups", namedPorts("a", "\uff41", "o", "\u03bf", "\u043e"), []string{"of port 2 (with U+FF41)", "of port 4 (with U+03BF), \"\u043e\" of port 5 (with U+043E)"}},
		{"many in a group", namedPorts("a", "a\u3164", "a\u3164\u3164", "a\u2800", "a\u115f", "a\u1160", "a\uffa0", "a\u2800\u2800", "\u0430", "\uff41"), []string{"of port 8 (with U+2800), 2 more"}},
		{"many groups", namedPorts("a", "\u0430", "c", "\u0441", "e", "\u0435", "h", "\u04bb", "i", "\u0456", "j", "\u0458", "o", "\u043e", "p", "\u0440", "s", "\u0455", "x", "\u0445"),
			[]string{"port 2", "port 4", "port 6", "port 8", "port 10", "port 12", "port 14", "port 16", "2 more groups of names that look alike"}},
	} {
		findings := Findings(t.TempDir(), test.ports, nft.HookHost)
		if len(findings) != len(test.want) {
			t.Errorf("%s: got %+v", test.name, findings)
			continue
		}
		for i, f := range findings {
			if f.ID != finding.ClientNames || f.Level != finding.Note || !strings.Contains(f.Message, test.want[i]) {
				t.Errorf("%s: got %+v, want %s", test.name, f, test.want[i])
			}
		}
	}
}
