// Package lookalike recognises names that people can't tell apart: those with letters
// of another script that look like Latin ones, wide or otherwise styled forms of the
// same letters, accents that are characters of their own, and characters that show
// nothing.
package lookalike

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"ssmonitor/internal/characters"
)

// Skeleton returns a text that is the same for all names that look like the given one.
// It is meant to be compared, not shown. Case counts, and so do the few letters and
// digits of ASCII that look like others, as l and 1: two names in ASCII are alike only if
// they differ in nothing but spaces.
func Skeleton(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r > '~' }) {
		return strings.Join(strings.Fields(name), " ")
	}
	// Normalisation turns some letters into others of their script, and some forms into
	// letters that are in the table.
	plain := strings.Map(asLatin, norm.NFKD.String(strings.Map(asLatin, strings.Map(visible, name))))
	return strings.Join(strings.Fields(plain), " ")
}

// visible drops what shows nothing; a space remains one.
func visible(r rune) rune {
	const firstSelector, lastSelector = '\ufe00', '\ufe0f' // of the style of the character before
	if characters.Hidden(r) || r >= firstSelector && r <= lastSelector {
		return -1
	}
	return r
}

func asLatin(r rune) rune {
	if letter, found := latin[r]; found {
		return letter
	}
	return r
}
