package accounting_test

import (
	"strings"
	"testing"

	"ssmonitor/accounting"
)

func TestCleanName(t *testing.T) {
	for text, want := range map[string]string{
		"alice":                               "alice",
		" alice\t":                            "alice",
		"alice\nbob":                          "alice bob",
		"\x1b[31mred":                         "[31mred",
		"a\xffb":                              "a\ufffdb",
		"\n\x00":                              "",
		"":                                    "",
		strings.Repeat("x", 200):              strings.Repeat("x", 128),
		strings.Repeat("x", 127) + " " + "yz": strings.Repeat("x", 127),
	} {
		if got := accounting.CleanName(text); got != want {
			t.Errorf("CleanName(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestNameFault(t *testing.T) {
	for name, want := range map[string]string{
		"alice":                  "",
		"李雷 👩\u200d🚀":            "",
		"":                       "a name after the equals sign",
		"a\xff":                  "UTF-8",
		"a\u202eb":               "without control",
		strings.Repeat("ä", 129): "at most 128",
		strings.Repeat("ä", 128): "",
		"two words, and a comma": "",
	} {
		if got := accounting.NameFault(name); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("NameFault(%q) = %q, want %q", name, got, want)
		}
	}
}
