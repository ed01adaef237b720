package terminal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ssmonitor/internal/terminal"
)

func TestCharsetOfTheLocale(t *testing.T) {
	for environment, want := range map[string]terminal.Charset{
		"":                                    terminal.ASCII,
		"LANG=C":                              terminal.ASCII,
		"LANG=POSIX":                          terminal.ASCII,
		"LANG=en_US":                          terminal.ASCII,
		"LANG=en_US.ISO-8859-1":               terminal.ASCII,
		"LANG=de_DE.ISO-8859-15@euro":         terminal.ASCII,
		"LANG=de_DE@euro":                     terminal.ASCII,
		"LANG=zh_CN.GB18030":                  terminal.ASCII,
		"LANG=C.UTF-8":                        terminal.Unicode,
		"LANG=C.utf8":                         terminal.Unicode,
		"LANG=en_US.UTF-8":                    terminal.Unicode,
		"LANG=ca_ES.UTF-8@valencia":           terminal.Unicode,
		"LC_CTYPE=UTF-8":                      terminal.Unicode,
		"LC_CTYPE=C.UTF-8 LANG=C":             terminal.Unicode,
		"LC_CTYPE=C LANG=C.UTF-8":             terminal.ASCII,
		"LC_ALL=C LC_CTYPE=C.UTF-8":           terminal.ASCII,
		"LC_ALL=C LANG=en_US.UTF-8":           terminal.ASCII,
		"LC_ALL= LC_CTYPE= LANG=en_US.UTF-8":  terminal.Unicode,
		"LC_ALL=C.UTF-8 LANG=C":               terminal.Unicode,
		"LC_MESSAGES=C.UTF-8 LANGUAGE=en.UTF": terminal.ASCII,
	} {
		lookup := func(name string) string {
			for variable := range strings.FieldsSeq(environment) {
				if value, found := strings.CutPrefix(variable, name+"="); found {
					return value
				}
			}
			return ""
		}
		if got := terminal.CharsetOf(lookup); got != want {
			t.Errorf("%q: got %d, want %d", environment, got, want)
		}
	}
}

func TestASCII(t *testing.T) {
	for text, want := range map[string]struct{ text, drawn string }{
		"alice":         {"alice", "alice"},
		"李雷":            {`\u674e\u96f7`, `\u674e\u96f7`},
		"👩\u200d🚀":      {`\U0001f469\u200d\U0001f680`, `\U0001f469\u200d\U0001f680`},
		"a…█▏\u200e":    {`a\u2026\u2588\u258f\u200e`, "a~##"},
		"\x1b[1m\n":     {`\x1b[1m\n`, "\x1b[1m\n"}, // colours and lines are drawn too
		"\xff\u202e":    {`\xff\u202e`, `\xff\u202e`},
		`\u674e is "x"`: {`\u674e is "x"`, `\u674e is "x"`},
	} {
		if got := terminal.ASCII.Text(text); got != want.text {
			t.Errorf("Text(%q) = %s, want %s", text, got, want.text)
		}
		if got := terminal.Unicode.Text(text); got != terminal.Text(text) {
			t.Errorf("with Unicode: Text(%q) = %s", text, got)
		}
		if got := terminal.ASCII.Drawn(text); got != want.drawn {
			t.Errorf("Drawn(%q) = %s, want %s", text, got, want.drawn)
		}
		if got := terminal.Unicode.Drawn(text); got != text {
			t.Errorf("with Unicode: Drawn(%q) = %s", text, got)
		}
	}
}

// TestASCIIWriterTakesParts writes byte by byte, and to a writer that fails.
func TestASCIIWriterTakesParts(t *testing.T) {
	const text = "李雷 … 👩 \x1b[1mx\n"
	var b bytes.Buffer
	w := terminal.ASCII.Writer(&b)
	for i := range len(text) {
		if n, err := w.Write([]byte(text)[i : i+1]); n != 1 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	if want := `\u674e\u96f7 ~ \U0001f469 ` + "\x1b[1mx\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	if w := terminal.Unicode.Writer(&b); w != &b {
		t.Error("with Unicode there is a writer that does nothing")
	}
	if _, err := terminal.ASCII.Writer(failing{}).Write([]byte("x")); !errors.Is(err, errFailing) {
		t.Errorf("got %v", err)
	}
}

var errFailing = errors.New("failing")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFailing }
