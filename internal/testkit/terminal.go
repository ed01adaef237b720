package testkit

import "unicode"

// CommandsTerminal reports whether a terminal does anything but show the character.
func CommandsTerminal(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}
