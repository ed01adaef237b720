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
		"\u3164":                              "",
		" \u2800\u200d\u00a0\ufe0f ":          "",
		"\u115f\u1160\uffa0\u034f":            "",
		"a\u3164":                             "a\u3164",
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
		"a\u202eb":               "such as U+202E",
		"\u3164":                 "U+3164 is blank",
		"\u115f\u1160":           "U+115F is blank",
		"\uffa0":                 "U+FFA0 is blank",
		"\u2800":                 "U+2800 is blank",
		"\u00a0 ":                "U+00A0 is blank",
		"\u200d":                 "U+200D is blank",
		"\ufe0f":                 "U+FE0F is blank",
		"\u200b":                 "such as U+200B",
		"\U000e0041":             "such as U+E0041",
		"a\u3164":                "",
		strings.Repeat("ä", 129): "at most 128",
		strings.Repeat("ä", 128): "",
		"two words, and a comma": "",
	} {
		if got := accounting.NameFault(name); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("NameFault(%q) = %q, want %q", name, got, want)
		}
	}
}
