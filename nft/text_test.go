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
		name      string
		hook      Hook
		forwarded accounting.Forwarding
	}{
		{"host", HookHost, accounting.Forwarding{}},
		{"container", HookContainer, accounting.Forwarding{}},
		{"published", HookHost, accounting.Forwarding{Known: true, Targets: containers()}},
		{"redirected", HookHost, accounting.Forwarding{Known: true, Targets: containers(), Addresses: addressesOfHost()}},
	} {
		var text strings.Builder
		if err := WriteRuleset(&text, test.hook, ports, test.forwarded); err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, test.name+".golden", text.String())
	}
}
