// Package terminal makes texts of others safe to print: names of clients, paths, and
// errors that contain them. In a terminal, a control character moves the cursor or
// recolours the screen, a line break forges a line, and a mark of direction reorders
// what surrounds it. Such characters become visible escapes, as in \x1b, \n and
// \u202e; letters of every script stay.
package terminal

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"ssmonitor/internal/characters"
)

// Text returns the text for one line of a terminal.
func Text(text string) string {
	if isASCII(text) {
		return text
	}
	return rewrite(text, func(begin, end int, r rune) bool { return shows(text, begin, end, r) }, escape)
}

// rewrite replaces the characters that are not to be kept, and the bytes that are not UTF-8.
func rewrite(text string, keep func(begin, end int, r rune) bool, replacement func(string) string) string {
	var b strings.Builder
	for begin := 0; begin < len(text); {
		r, size := utf8.DecodeRuneInString(text[begin:])
		end := begin + size
		if character := text[begin:end]; keep(begin, end, r) {
			b.WriteString(character)
		} else {
			b.WriteString(replacement(character))
		}
		begin = end
	}
	return b.String()
}

// Texts returns each of the texts for one line of a terminal.
func Texts(texts []string) []string {
	safe := make([]string, len(texts))
	for i, text := range texts {
		safe[i] = Text(text)
	}
	return safe
}

// isASCII reports whether the text has printable ASCII alone, as most texts do.
func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// shows reports whether the character r, which is text[begin:end], is shown as it is.
// A joiner is, between the letters and emoji that it joins.
func shows(text string, begin, end int, r rune) bool {
	switch {
	case r == utf8.RuneError:
		return end-begin > 1 // else a byte that is not UTF-8
	case characters.Joiner(r):
		before, _ := utf8.DecodeLastRuneInString(text[:begin])
		after, _ := utf8.DecodeRuneInString(text[end:])
		return joins(before) && joins(after)
	}
	return !characters.Hidden(r)
}

func joins(r rune) bool {
	return r >= utf8.RuneSelf && r != utf8.RuneError && !characters.Hidden(r)
}

// escape returns the characters as in a string constant of Go.
func escape(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return quoted[1 : len(quoted)-1]
}
