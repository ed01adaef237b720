package terminal

import "strings"

// Message is the text of an error that has line breaks of its own. It is a constant:
// nothing that others wrote belongs in it.
type Message string

// Error returns the text.
func (m Message) Error() string { return string(m) }

// Error returns the text of an error, whose line breaks are those of errors.Join and
// of a [Message]. Every other one, as in the path of a *fs.PathError, is escaped.
func Error(err error) string {
	if message, ok := err.(Message); ok { //nolint:errorlint // what wraps it has a text of its own
		return string(message)
	}
	var parts []error
	switch wrapping := err.(type) { //nolint:errorlint // each layer has a text of its own
	case interface{ Unwrap() error }:
		parts = []error{wrapping.Unwrap()}
	case interface{ Unwrap() []error }:
		parts = wrapping.Unwrap()
	}
	return layer(err.Error(), parts)
}

// layer returns the text of an error that wraps others: their parts of it by their own
// rules, and the rest as one line.
func layer(text string, parts []error) string {
	joined := isJoin(text, parts)
	var b strings.Builder
	for _, part := range parts {
		if part == nil {
			continue
		}
		before, after, found := strings.Cut(text, part.Error())
		if !found {
			continue // the text of the layer replaces it
		}
		if !joined {
			before = Text(before)
		}
		b.WriteString(before)
		b.WriteString(Error(part))
		text = after
	}
	b.WriteString(Text(text))
	return b.String()
}

// isJoin reports whether the text begins as errors.Join joins the parts: only line
// breaks are between them.
func isJoin(text string, parts []error) bool {
	for i, part := range parts {
		if part == nil {
			return false
		}
		if i > 0 {
			rest, found := strings.CutPrefix(text, "\n")
			if !found {
				return false
			}
			text = rest
		}
		rest, found := strings.CutPrefix(text, part.Error())
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// Line is [Error] as one line.
func Line(err error) string { return strings.ReplaceAll(Error(err), "\n", "; ") }
