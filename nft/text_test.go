package nft

import (
	"slices"
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
	published := slices.Clone(ports)
	published[1].Published = true
	for _, test := range []struct {
		name  string
		hook  Hook
		ports accounting.Ports
	}{
		{"host", HookHost, ports},
		{"container", HookContainer, ports},
		{"published", HookHost, published},
	} {
		var text strings.Builder
		if err := WriteRuleset(&text, test.hook, test.ports); err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, test.name+".golden", text.String())
	}
}
