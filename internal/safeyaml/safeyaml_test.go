package safeyaml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"ssmonitor/internal/safeyaml"
	"ssmonitor/internal/testkit"
)

type settings struct {
	Port []string `yaml:"port"`
	Hook string   `yaml:"hook"`
	Any  bool     `yaml:"any"`
}

func TestErrorsHavePositionsAndNoValues(t *testing.T) {
	const secret = "hunter2"
	tests := []struct{ name, text, want string }{
		{"a tag that the library panics at", "port: !x\nhook: " + secret, "line 1, column 1: want YAML"},
		{"an unknown key", "hook: host\nhok: " + secret, `line 2, column 1: unknown field "hok"`},
		{"a key twice", "hook: host\nhook: " + secret, `line 2, column 1: the key "hook" stands in line 1 already`},
		{"an unknown key that is no word", secret + ": 1", "line 1, column 1: unknown field (not shown)"},
		{"such a key twice", secret + "\": 1\n" + secret + "\": 2", "line 2, column 1: the key (not shown) stands in line 1 already"},
		{"a list for a text", "hook: [" + secret + "]", "line 1, column 7: want a text"},
		{"a text for a list", "port:\n  a: " + secret, "line 2, column 4: mapping was used where sequence is expected"},
		{"a text for a bool", "any: " + secret, "line 1, column 6: want true or false"},
		{"an alias of nothing", "hook: *" + secret, "line 1, column 8: want YAML"},
		{"no YAML", "hook: \"" + secret, "line 1, column 7: want YAML: could not find end character of double-quoted text"},
		{"a tab before a key", "hook: host\n\tany: true", `line 2, column 1: want YAML: found character '\t' that cannot start any token`},
		{"nesting", strings.Repeat("[", 2000), "line 1, column 1: too much nesting"},
		{"too large", strings.Repeat("#", safeyaml.MaxSize+1), "too large: want at most 256 KiB of YAML, with 32768 commas, colons and lines"},
		{"too many values", "port: [" + strings.Repeat("a,", 1<<15) + "]", "too large: want at most 256 KiB of YAML, with 32768 commas, colons and lines"},
		{"too many keys", strings.Repeat("a: 1\n", 1<<14+1), "too large: want at most 256 KiB of YAML, with 32768 commas, colons and lines"},
	}
	for _, test := range tests {
		err := safeyaml.Decode([]byte(test.text), new(settings), yaml.Strict())
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
}

func TestEmptyTextHasNothing(t *testing.T) {
	var s settings
	for _, text := range []string{"", "\n", "# only this\n", "---\n"} {
		if err := safeyaml.Decode([]byte(text), &s, yaml.Strict()); err != nil || s.Hook != "" {
			t.Errorf("%q: got %v, %+v", text, err, s)
		}
	}
}

func TestWalkReturnsTheVisitorsError(t *testing.T) {
	own := errors.New("own")
	if err := safeyaml.Walk([]byte("a: 1"), func(*ast.File) error { return own }); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
	if err := safeyaml.Walk([]byte("a: 1"), func(*ast.File) error { panic("own") }); !errors.As(err, new(*safeyaml.Error)) {
		t.Errorf("after a panic: got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("port: !x\nhook: host")
	f.Add("hook: host\n\tany: true")
	f.Add("port: [a, b]\nany: true\nhook: &a host\n")
	f.Fuzz(func(t *testing.T, text string) {
		err := safeyaml.Decode([]byte(text), new(settings), yaml.Strict())
		if located, ok := errors.AsType[*safeyaml.Error](err); err != nil && !errors.Is(err, safeyaml.ErrTooLarge) && (!ok || located.Line < 1 || located.Column < 0) {
			t.Errorf("got %#v", err)
		}
		if err != nil && strings.ContainsFunc(err.Error(), testkit.CommandsTerminal) {
			t.Errorf("not one line: %q", err)
		}
	})
}

func TestConcealShowsNoValue(t *testing.T) {
	for _, test := range []struct{ text, message, want string }{
		{"a: [hunter2]", "unknown: hunter2", "line 1, column 5: unknown: (not shown)"},
		{"a: hunter2", "cannot read `hunter2` as\n  a number", "line 1, column 4: cannot read (not shown) as a number"},
		{"a: x`hunter2", "cannot read `x`hunter2` as a number", "line 1, column 4: cannot read (not shown) as a number"},
		{"a: {b: hunter2, c: hunter2hunter2}", "hunter2hunter2 is not hunter2", "line 1, column 20: (not shown) is not (not shown)"},
		{"hunter2: 1\nname: 2", "hunter2 and name", "line 1, column 1: (not shown) and name"},
		{"a: &hunter2 !tag |\n  hunter3\n", "hunter2 hunter3", "(not shown) (not shown)"},
		{"file: hunter2", "open hunter2: no such file", "open hunter2: no such file"},
		{"a: 'hunter2", "hunter2", "line 1, column 4: want YAML: could not find end character of single-quoted text"},
		{"", "empty", "empty"},
	} {
		got := safeyaml.Conceal([]byte(test.text), test.message, func(key string) bool { return key == "file" })
		if !strings.HasSuffix(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}

func FuzzConceal(f *testing.F) {
	f.Add("port: &a [x, !t y]\nhook: |\n  z\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got := safeyaml.Conceal([]byte(text), text, func(string) bool { return false }); strings.Contains(got, "\n") {
			t.Errorf("got %q", got)
		}
	})
}
