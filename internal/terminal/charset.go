package terminal

import (
	"cmp"
	"io"
	"strings"
	"unicode/utf8"
)

// Charset is what a terminal shows.
type Charset int

// The charsets.
const (
	Unicode Charset = iota
	ASCII
)

// CharsetOf returns the charset of the locale, which the first of LC_ALL, LC_CTYPE and
// LANG names that is not empty: locale(7). Without any of them it is the locale C, as
// for other programs. Only with UTF-8 is it Unicode.
func CharsetOf(lookup func(string) string) Charset {
	locale := cmp.Or(lookup("LC_ALL"), lookup("LC_CTYPE"), lookup("LANG"))
	locale, _, _ = strings.Cut(locale, "@") // a modifier
	_, codeset, found := strings.Cut(locale, ".")
	if !found {
		codeset = locale // macOS has LC_CTYPE=UTF-8, which ssh passes on
	}
	if strings.EqualFold(strings.ReplaceAll(codeset, "-", ""), "utf8") {
		return Unicode
	}
	return ASCII
}

// Text is the function [Text] for a terminal of the charset: letters beyond ASCII
// become escapes too.
func (c Charset) Text(text string) string {
	text = Text(text)
	if c == Unicode || isASCII(text) {
		return text
	}
	return asciiOf(text, escape)
}

// Writer returns a writer to a terminal of the charset. What programs of this project
// draw becomes ASCII of the same width; all else that is not ASCII becomes escapes.
func (c Charset) Writer(w io.Writer) io.Writer {
	if c == Unicode {
		return w
	}
	return &asciiWriter{out: w}
}

// Drawn returns a part of what [Charset.Writer] writes.
func (c Charset) Drawn(text string) string {
	if c == Unicode || isASCII(text) {
		return text
	}
	return asciiOf(text, drawn)
}

// asciiOf replaces what is not ASCII.
func asciiOf(text string, replacement func(string) string) string {
	return rewrite(text, func(_, _ int, r rune) bool { return r < utf8.RuneSelf }, replacement)
}

// drawn returns the ASCII of a character that this project draws.
func drawn(character string) string {
	switch character {
	case "…":
		return "~"
	case "█", "▉", "▊", "▋", "▌", "▍", "▎", "▏":
		return "#"
	case "\u200e": // the mark after which text goes from left to right
		return ""
	}
	return escape(character)
}

// asciiWriter takes characters that are in two writes, as those of a buffer.
type asciiWriter struct {
	out   io.Writer
	begun []byte // of a character
}

// Write implements io.Writer.
func (w *asciiWriter) Write(data []byte) (int, error) {
	text := append(w.begun, data...)
	whole := len(text)
	for i := max(0, len(text)-utf8.UTFMax+1); i < len(text); i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			whole = i
			break
		}
	}
	if _, err := io.WriteString(w.out, asciiOf(string(text[:whole]), drawn)); err != nil {
		return 0, err
	}
	w.begun = append(w.begun[:0], text[whole:]...)
	return len(data), nil
}
