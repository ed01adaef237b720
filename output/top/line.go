package top

import (
	"strings"

	"ssmonitor/internal/terminal"
)

// Style is the look of a text. Without colours, styles that differ only in colour
// look the same; nothing is told by colour alone.
type Style int

// The styles.
const (
	Plain Style = iota
	Bold
	Faint
	Reverse  // the head of a table, and the selected line
	Chart    // sparklines and bars
	Alarming // over a limit, and errors
)

// Span is text of one style.
type Span struct {
	Text  string
	Style Style
}

// Line is a line of the screen.
type Line []Span

// String returns the line as plain text, without blanks at the end.
func (l Line) String() string {
	var text strings.Builder
	for _, span := range l {
		text.WriteString(span.Text)
	}
	return strings.TrimRight(text.String(), " ")
}

func plain(text string) Line { return Line{{Text: text}} }

// fit cuts the line to a width.
func (l Line) fit(width int) Line {
	for i, span := range l {
		taken := terminal.Width(span.Text)
		if taken > width {
			if width <= 0 {
				return l[:i]
			}
			return append(l[:i:i], Span{terminal.PadRight(span.Text, width), span.Style})
		}
		width -= taken
	}
	return l
}

// styled returns the whole line in one style, padded to the width.
func (l Line) styled(style Style, width int) Line {
	text := l.String()
	return Line{{text + strings.Repeat(" ", max(0, width-terminal.Width(text))), style}}
}

// wrap breaks text into lines between words.
func wrap(text string, width int, style Style) []Line {
	var lines []Line
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && terminal.Width(line+" "+word) > width {
			lines = append(lines, Line{{line, style}})
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, Line{{line, style}}.fit(width))
}
