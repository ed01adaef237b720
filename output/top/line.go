package top

import (
	"strings"

	"ssmonitor/internal/terminal"
)

// textStyle is the look of a text. Without colours, styles that differ only in colour
// look the same; nothing is told by colour alone.
type textStyle int

// The styles.
const (
	stylePlain textStyle = iota
	styleBold
	styleFaint
	styleReverse  // the head of a table, and the selected line
	styleChart    // sparklines and bars
	styleAlarming // over a limit, and errors
)

// textSpan is text of one style.
type textSpan struct {
	Text  string
	Style textStyle
}

// textLine is a line of the screen.
type textLine []textSpan

// String returns the line as plain text, without blanks at the end.
func (l textLine) String() string {
	var text strings.Builder
	for _, span := range l {
		text.WriteString(span.Text)
	}
	return strings.TrimRight(text.String(), " ")
}

func plain(text string) textLine { return textLine{{Text: text}} }

// fit cuts the line to a width.
func (l textLine) fit(width int) textLine {
	for i, span := range l {
		taken := terminal.Width(span.Text)
		if taken > width {
			if width <= 0 {
				return l[:i]
			}
			return append(l[:i:i], textSpan{terminal.PadRight(span.Text, width), span.Style})
		}
		width -= taken
	}
	return l
}

// styled returns the whole line in one style, padded to the width.
func (l textLine) styled(style textStyle, width int) textLine {
	text := l.String()
	return textLine{{text + strings.Repeat(" ", max(0, width-terminal.Width(text))), style}}
}

// wrap breaks text into lines between words.
func wrap(text string, width int, style textStyle) []textLine {
	var lines []textLine
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && terminal.Width(line+" "+word) > width {
			lines = append(lines, textLine{{line, style}})
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, textLine{{line, style}}.fit(width))
}
