package main

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestHelpFitsTheTerminal(t *testing.T) {
	pages := [][]string{{"--help"}, {"-h"}, {"help"}}
	for _, command := range newApp(io.Discard, io.Discard, openSavedHistory).Commands {
		if !command.Hidden {
			pages = append(pages, []string{command.Name, "--help"}, []string{command.Name, "-h"}, []string{"help", command.Name})
		}
	}
	for _, arguments := range pages {
		status, help, stderr := call(t, arguments...)
		if status != exitDone || stderr != "" || !strings.Contains(help, "OPTIONS:\n") {
			t.Errorf("%q: status %d, stdout %q and %q", arguments, status, help, stderr)
		}
		for line := range strings.Lines(help) {
			if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > helpWidth {
				t.Errorf("%q: %d columns in %q", arguments, width, line)
			}
			if strings.TrimRight(line, " \n")+"\n" != line {
				t.Errorf("%q: blanks at the end of %q", arguments, line)
			}
		}
	}
}

func TestWriteTerm(t *testing.T) {
	tests := []struct{ name, term, text, want string }{
		{"beside", "--csv FILE", "write", "   --csv FILE               write\n"},
		{"just beside", strings.Repeat("x", 23), "y", "   " + strings.Repeat("x", 23) + "  y\n"},
		{"below", strings.Repeat("x", 24), "y", "   " + strings.Repeat("x", 24) + "\n" + strings.Repeat(" ", 28) + "y\n"},
		{"full line", "x", strings.Repeat("y", 49) + " zz", "   x" + strings.Repeat(" ", 24) + strings.Repeat("y", 49) + " zz\n"},
		{"wrapped", "x", strings.Repeat("y", 50) + " zz",
			"   x" + strings.Repeat(" ", 24) + strings.Repeat("y", 50) + "\n" + strings.Repeat(" ", 28) + "zz\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got strings.Builder
			writeTerm(&got, test.term, test.text)
			if difference := cmp.Diff(test.want, got.String()); difference != "" {
				t.Errorf("-want +got:\n%s", difference)
			}
		})
	}
}

func TestBlocks(t *testing.T) {
	tests := []struct {
		name, description string
		want              []block
	}{
		{"nothing", "", nil},
		{"paragraph", "a\nb", []block{{paragraph, "a\nb"}}},
		{"two paragraphs", "a\n\nb\n", []block{{paragraph, "a"}, {paragraph, "b"}}},
		{"literal text", "a:\n\n   b\n     c\n\nd", []block{{paragraph, "a:"}, {literalText, "b\n  c"}, {paragraph, "d"}}},
		{"literal text without empty lines", "a:\n   b\nc", []block{{paragraph, "a:"}, {literalText, "b"}, {paragraph, "c"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if difference := cmp.Diff(test.want, blocks(test.description), cmp.AllowUnexported(block{})); difference != "" {
				t.Errorf("-want +got:\n%s", difference)
			}
		})
	}
}
