package portlist

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxNameLength is the length of the longest name, in Unicode code points.
const MaxNameLength = 128

// checkName returns what was expected in place of name, empty if name is one.
func checkName(name string) string {
	switch {
	case name == "":
		return "a name after the equals sign, as in 20000=alice"
	case !utf8.ValidString(name):
		return "a name in UTF-8"
	case utf8.RuneCountInString(name) > MaxNameLength:
		return fmt.Sprintf("a name of at most %d characters", MaxNameLength)
	case strings.ContainsFunc(name, notInNames):
		return "a name without control or invisible characters"
	}
	return ""
}

// notInNames tells that a name must not hold r. Names end up in lists, tables,
// logs and charts, where control characters, line separators and marks that
// turn the direction of writing would forge what surrounds them. The two
// joiners are invisible too, but Persian, Indic scripts and emoji need them.
func notInNames(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return !unicode.IsGraphic(r) && r != nonJoiner && r != joiner
}

// CleanName makes a name of text that others wrote, such as the remark in a
// server's configuration: characters that no name may hold become spaces, the
// white space around it goes, and what is longer than MaxNameLength is cut.
// The result is empty if nothing remains.
func CleanName(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if notInNames(r) {
			return ' '
		}
		return r
	}, text))
	length := 0
	for i := range text {
		if length == MaxNameLength {
			return strings.TrimSpace(text[:i])
		}
		length++
	}
	return text
}
