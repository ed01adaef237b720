package terminal

import (
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// PadRight pads the text to a width in terminal cells. It cuts a longer text and
// ends it with an ellipsis. Widths are those of Unicode grapheme clusters, such
// as a letter with its accents or an emoji made of several code points.
func PadRight(text string, width int) string {
	if Width(text) > width {
		text = truncate(text, width-1) + "…"
	}
	padded := text + strings.Repeat(" ", width-Width(text))
	if strings.ContainsFunc(text, rightToLeft) {
		// A terminal that knows bidirectional text would show the numbers that
		// follow to the left of the name.
		const leftToRightMark = "\u200e"
		return leftToRightMark + text + leftToRightMark + padded[len(text):]
	}
	return padded
}

// Width returns the number of a terminal's columns that text takes.
func Width(text string) int {
	if isASCII(text) { // as most names, for which segmentation would take most of a report's time
		return len(text)
	}
	return uniseg.StringWidth(text)
}

func truncate(text string, width int) string {
	var b strings.Builder
	taken, state := 0, -1
	for text != "" {
		var cluster string
		var cells int
		cluster, text, cells, state = uniseg.FirstGraphemeClusterInString(text, state)
		if taken += cells; taken > width {
			break
		}
		b.WriteString(cluster)
	}
	return b.String()
}

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko)
}
