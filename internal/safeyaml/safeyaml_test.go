package safeyaml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"ssmonitor/internal/safeyaml"
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
		{"a key twice", "hook: host\nhook: " + secret, `line 2, column 1: mapping key "hook" already defined at [1:1]`},
		{"a list for a text", "hook: [" + secret + "]", "line 1, column 7: want a text"},
		{"a text for a list", "port:\n  a: " + secret, "line 2, column 4: mapping was used where sequence is expected"},
		{"a text for a bool", "any: " + secret, "line 1, column 6: want true or false"},
		{"an alias of nothing", "hook: *" + secret, "line 1, column 8: want YAML"},
		{"no YAML", "hook: \"" + secret, "line 1, column 7: want YAML: could not find end character of double-quoted text"},
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
	f.Add("port: [a, b]\nany: true\nhook: &a host\n")
	f.Fuzz(func(t *testing.T, text string) {
		err := safeyaml.Decode([]byte(text), new(settings), yaml.Strict())
		if located, ok := errors.AsType[*safeyaml.Error](err); err != nil && !errors.Is(err, safeyaml.ErrTooLarge) && (!ok || located.Line < 1 || located.Column < 0) {
			t.Errorf("got %#v", err)
		}
	})
}
