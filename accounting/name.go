package accounting

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"ssmonitor/internal/characters"
)

// MaxNameLength is the length of the longest name, in Unicode code points.
const MaxNameLength = 128

// NameFault checks the name of a client. It returns a description of what a valid
// name would be, for an error of the form "want ...", or the empty string if the
// name is valid.
func NameFault(name string) string {
	wrong := strings.IndexFunc(name, notInNames)
	switch {
	case name == "":
		return "a name after the equals sign, as in 20000=alice"
	case !utf8.ValidString(name):
		return "a name in UTF-8"
	case utf8.RuneCountInString(name) > MaxNameLength:
		return fmt.Sprintf("a name of at most %d characters", MaxNameLength)
	case wrong >= 0:
		return fmt.Sprintf("a name without control or invisible characters, such as %s in it", firstCodePoint(name[wrong:]))
	case blank(name):
		return fmt.Sprintf("a name that can be seen: %s is blank", firstCodePoint(name))
	}
	return ""
}

// blank reports whether a text shows nothing: it has only spaces, joiners and
// characters that are [characters.Hidden].
func blank(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsSpace(r) && !unicode.Is(unicode.Zs, r) && !unicode.Is(unicode.Variation_Selector, r) && !characters.Hidden(r) && !characters.Joiner(r)
	})
}

func firstCodePoint(text string) string {
	r, _ := utf8.DecodeRuneInString(text)
	return fmt.Sprintf("%U", r)
}

// notInNames reports whether a name must not contain r. Names end up in lists,
// tables, logs and charts, where control characters, line separators and
// bidirectional marks would forge what surrounds them.
func notInNames(r rune) bool { return !unicode.IsGraphic(r) && !characters.Joiner(r) }

// CleanName turns text that others wrote, such as the remark in a server's
// configuration, into a valid name. It replaces characters that a name must not
// contain by spaces, trims the result and cuts it to MaxNameLength. It returns
// the empty string if nothing remains that can be seen.
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
			text = strings.TrimSpace(text[:i])
			break
		}
		length++
	}
	if blank(text) {
		return ""
	}
	return text
}
