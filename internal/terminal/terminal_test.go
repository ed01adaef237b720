package terminal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"ssmonitor/internal/characters"
	"ssmonitor/internal/terminal"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"/etc/shadowsocks/a b.json": "/etc/shadowsocks/a b.json",
		"\x1b[2J\x07red":            `\x1b[2J\ared`,
		"a\nok      all is well":    `a\nok      all is well`,
		"a\r\tb\x7f":                `a\r\tb\x7f`,
		"\u009b31m":                 `\u009b31m`,
		"a\xffb\x9b":                `a\xffb\x9b`,
		"\u202egnp.exe\u2069":       `\u202egnp.exe\u2069`,
		"\u2028\u2029\u0085":        `\u2028\u2029\u0085`,
		"a\u200bb\ufeff\u00ad":      `a\u200bb\ufeff\u00ad`,
		"\u3164\u115f\u2800\uffa0":  `\u3164\u115f\u2800\uffa0`,
		"al\u200dice":               `al\u200dice`,
		"\u200d\u200d":              `\u200d\u200d`,
		"李雷 Ünal İpek 👩\u200d🚀 ❤\ufe0f": "李雷 Ünal İpek 👩\u200d🚀 ❤\ufe0f",
		"می\u200cخواهم":                 "می\u200cخواهم",
		"\ufffd":                        "\ufffd",
		`a\b"c"`:                        `a\b"c"`,
		"\U000e0041":                    `\U000e0041`,
	} {
		if got := terminal.Text(text); got != want {
			t.Errorf("Text(%q) = %s, want %s", text, got, want)
		}
	}
}

// TestErrorKeepsOnlyItsOwnLines has paths that would forge a line of their own.
func TestErrorKeepsOnlyItsOwnLines(t *testing.T) {
	hostile := &fs.PathError{Op: "open", Path: "/x\nok   \x1b[1m", Err: syscall.ENOENT}
	const shown = `open /x\nok   \x1b[1m: no such file or directory`
	message := terminal.Message("nothing found, as in\n   ssmonitor setup")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"a path", hostile, shown},
		{"a path in text of ours", fmt.Errorf("reading %s: %w", "/y\nz", hostile), `reading /y\nz: ` + shown},
		{"two joined", errors.Join(hostile, errors.New("b")), shown + "\nb"},
		{"joined twice", errors.Join(errors.Join(hostile, hostile), nil, errors.New("b")), shown + "\n" + shown + "\nb"},
		{"joined and wrapped", fmt.Errorf("setup: %w", errors.Join(hostile, errors.New("b"))), "setup: " + shown + "\nb"},
		{"several wrapped", fmt.Errorf("%w\n(%w)", hostile, hostile), shown + `\n(` + shown + ")"},
		{"a message of ours", message, string(message)},
		{"a message in text of ours", fmt.Errorf("as \n root: %w", message), `as \n root: ` + string(message)},
		{"text that replaces what it wraps", replaced{hostile}, `a\nb`},
	} {
		if got := terminal.Error(test.err); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		if got := terminal.Line(test.err); strings.Contains(got, "\n") || !strings.Contains(got, `\n`) && test.name != "a message of ours" {
			t.Errorf("%s: as a line: %q", test.name, got)
		}
	}
}

type replaced struct{ error }

func (r replaced) Error() string { return "a\nb" }
func (r replaced) Unwrap() error { return r.error }

func TestWriterEscapesAllButLines(t *testing.T) {
	var b bytes.Buffer
	if _, err := fmt.Fprint(terminal.Writer(&b), "a\x1b[2J\nb\u202e\n"); err != nil || b.String() != "a\\x1b[2J\nb\\u202e\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b\u200d\xff\U000e0041\u200c")
	f.Fuzz(func(t *testing.T, text string) {
		safe := terminal.Text(text)
		if terminal.Text(safe) != safe || !utf8.ValidString(safe) {
			t.Errorf("Text(%q) = %q", text, safe)
		}
		for _, r := range safe {
			if characters.Hidden(r) && !characters.Joiner(r) {
				t.Errorf("Text(%q) has %U", text, r)
			}
		}
		// JSON keeps the value, and shows it as safely.
		text = strings.ToValidUTF8(text, "")
		var b bytes.Buffer
		var back []string
		if err := terminal.NewJSONEncoder(&b).Encode([]string{text}); err != nil {
			t.Fatal(err)
		}
		shown := strings.TrimSuffix(b.String(), "\n")
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back[0] != text || terminal.Text(shown) != shown {
			t.Errorf("%q as JSON is %q and then %q, %v", text, shown, back, err)
		}
	})
}
