package accounting

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxNameLength is the length of the longest name, in Unicode code points.
const MaxNameLength = 128

// NameFault checks the name of a client. It returns a description of what a valid
// name would be, for an error of the form "want ...", or the empty string if the
// name is valid.
func NameFault(name string) string {
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

// notInNames reports whether a name must not contain r. Names end up in lists,
// tables, logs and charts, where control characters, line separators and
// bidirectional marks would forge what surrounds them. The two joiners are
// invisible as well, but Persian, Indic scripts and emoji need them.
func notInNames(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return !unicode.IsGraphic(r) && r != nonJoiner && r != joiner
}

// CleanName turns text that others wrote, such as the remark in a server's
// configuration, into a valid name. It replaces characters that a name must not
// contain by spaces, trims the result and cuts it to MaxNameLength. It returns
// the empty string if nothing remains.
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
