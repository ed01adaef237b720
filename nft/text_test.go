package nft

import (
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

func TestRulesetText(t *testing.T) {
	ports := accounting.Ports{
		{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"},
		{Number: 20001, Protocols: accounting.OnlyTCP},
	}
	for _, test := range []struct {
		name    string
		hook    Hook
		targets []accounting.Target
	}{
		{"host", HookHost, nil},
		{"container", HookContainer, nil},
		{"published", HookHost, containers()},
	} {
		var text strings.Builder
		if err := WriteRuleset(&text, test.hook, ports, test.targets); err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, test.name+".golden", text.String())
	}
}
