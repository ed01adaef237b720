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
	for _, hook := range []Hook{HookHost, HookContainer} {
		var text strings.Builder
		if err := WriteRuleset(&text, hook, ports); err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, string(hook)+".golden", text.String())
	}
}
