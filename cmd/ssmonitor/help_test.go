package main

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHelpFitsTheTerminal(t *testing.T) {
	pages := [][]string{{"--help"}, {"-h"}, {"help"}}
	for _, command := range newApp(io.Discard, io.Discard).Commands {
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
			if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > 80 {
				t.Errorf("%q: %d columns in %q", arguments, width, line)
			}
			if strings.TrimRight(line, " \n")+"\n" != line {
				t.Errorf("%q: blanks at the end of %q", arguments, line)
			}
		}
	}
}
