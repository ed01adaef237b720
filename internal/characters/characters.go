// Package characters knows which characters people can't see.
package characters

import "unicode"

// Hidden reports whether a character shows nothing, or acts on what surrounds it:
// control characters, line separators, marks of direction, and fillers such as
// U+3164, which Unicode counts among the letters. Spaces are not hidden.
func Hidden(r rune) bool {
	const blankBraille = '\u2800'
	return r == blankBraille || !unicode.IsGraphic(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Joiner reports whether r is one of the two joiners. They are hidden as well, but
// Persian, Indic scripts and emoji need them.
func Joiner(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r == nonJoiner || r == joiner
}
