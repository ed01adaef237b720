package safeyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ssmonitor/internal/safeyaml"
	"ssmonitor/internal/testkit"
)

// outline writes what a reader of nodes learns of a value.
func outline(node safeyaml.Node) string {
	line, column := node.Position()
	at := fmt.Sprintf("@%d:%d", line, column)
	if pairs, ok := node.Pairs(); ok {
		var parts []string
		for _, pair := range pairs {
			line, column := pair.Position()
			parts = append(parts, fmt.Sprintf("%s@%d:%d=%s", pair.Key(), line, column, outline(pair.Value)))
		}
		return "{" + strings.Join(parts, " ") + "}" + at
	}
	if text, ok := node.Scalar(); ok {
		return text + at
	}
	if node.IsNull() {
		return "null"
	}
	var parts []string
	for _, item := range node.Items() {
		if item == node { // of another kind, such as a tag
			return "other" + at
		}
		parts = append(parts, outline(item))
	}
	return "[" + strings.Join(parts, " ") + "]" + at
}

func TestRead(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "null"}, {"# nothing\n", "null"}, {"---\n", "null"}, {"~", "null"},
		{"a: 1", "{a@1:1=1@1:4}@1:1"},
		{"a: [x, 020, 'y z']\nb:\n", "{a@1:1=[x@1:5 020@1:8 y z@1:13]@1:4 b@2:1=null}@1:1"},
		{"a:\n  b: yes\n  c: true\n", "{a@1:1={b@2:3=yes@2:6 c@3:3=true@3:6}@2:3}@1:1"},
		{"a: {b: 1.5}", "{a@1:1={b@1:5=1.5@1:8}@1:4}@1:1"},
		{"- a\n- b: 1\n", "[a@1:3 {b@2:3=1@2:6}@2:3]@1:1"},
		{"20000: x\n\"q r\": y\n? z\n: 1\n", "{20000@1:1=x@1:8 q r@2:1=y@2:8 z@3:3=1@4:3}@1:1"},
		{"a: |\n  x\n  y\n", "{a@1:1=x\ny\n@1:4}@1:1"},
		{"---\na: 1\n---\n", "{a@2:1=1@2:4}@2:1"}, {"---\na: 1\n...\n", "{a@2:1=1@2:4}@2:1"},
		{"%YAML 1.2\n---\na: 1\n", "{a@3:1=1@3:4}@3:1"}, {"\ufeffa: 1\r\nb: 2\r\n", "{a@1:1=1@1:4 b@2:1=2@2:4}@1:1"},
	} {
		err := safeyaml.Read([]byte(test.text), func(root safeyaml.Node) error {
			if got := outline(root); got != test.want {
				t.Errorf("%q: got %s, want %s", test.text, got, test.want)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
		}
	}
}

// TestTextsThatAreNotRead has what would be read in part, or as something else.
func TestTextsThatAreNotRead(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"a: 1\n---\nb: 2\n", "line 3, column 1: want one document, without --- before another"},
		{"a: 1\nb: M\xfcller\n", "line 2, column 1: want UTF-8, as editors save it: there is a character in another encoding"},
		{"\xff\xfea\x00:\x00 \x001\x00", "line 1, column 1: want UTF-8, as editors save it: there is a character in another encoding"},
	} {
		err := safeyaml.Read([]byte(test.text), func(safeyaml.Node) error { return nil })
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v, want %s", test.text, err, test.want)
		}
	}
}

func TestNodesOfOtherKinds(t *testing.T) {
	for _, test := range []struct{ value, want string }{
		{"", "nothing"}, {"~", "nothing"}, {"hunter2", "a text"}, {"|\n  hunter2", "a text"}, {"31", "31"}, {"8388", "a number"}, {"1.5", "a number"}, {".inf", "a number"},
		{"true", "true or false"}, {"[hunter2]", "a list"}, {"{hunter2: 1}", "keys with values"}, {"\n  hunter2: 1", "keys with values"},
		{"!hunter2 x", "a tag (!)"}, {"&hunter2 x", "an anchor (&)"}, {"*hunter2", "a reference (*)"},
	} {
		err := safeyaml.Read([]byte("a: "+test.value+"\n"), func(root safeyaml.Node) error {
			pairs, _ := root.Pairs()
			return pairs[0].Value.WrongKind("a size")
		})
		if err == nil || !strings.HasSuffix(err.Error(), ": want a size, found "+test.want) {
			t.Errorf("%q: got %v, want that %s was found", test.value, err, test.want)
		}
	}
}

func TestUnknownKeys(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"\nintervall: 2s", `line 2, column 1: unknown key "intervall" (did you mean interval?)`},
		{"password: 2s", `line 1, column 1: unknown key "password"`},
		{"hunter2: 2s", "line 1, column 1: unknown key (not shown)"},
		{"<<: {interval: 2s}", "line 1, column 1: unknown key (not shown)"},
	} {
		err := safeyaml.Read([]byte(test.text), func(root safeyaml.Node) error {
			pairs, _ := root.Pairs()
			return pairs[0].Unknown([]string{"interval", "warn"})
		})
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v, want %s", test.text, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a: [x, !t y]\n? {b: c}\n: |\n  z\n<<: *a\n")
	f.Add("- - a: 1\n  - ? b\n")
	f.Fuzz(func(t *testing.T, text string) {
		err := safeyaml.Read([]byte(text), func(root safeyaml.Node) error {
			outline(root)
			return root.WrongKind("nothing")
		})
		if located, ok := errors.AsType[*safeyaml.Error](err); err != nil && !errors.Is(err, safeyaml.ErrTooLarge) && (!ok || located.Line < 1) {
			t.Errorf("got %#v", err)
		}
		if err != nil && strings.ContainsFunc(err.Error(), testkit.CommandsTerminal) {
			t.Errorf("not one line: %q", err)
		}
	})
}
