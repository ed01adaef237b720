package nft

import (
	"flag"
	"os"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

var update = flag.Bool("update", false, "write the golden files anew")

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
		golden := "testdata/" + string(hook) + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if text.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", hook, text.String(), want)
		}
	}
}
