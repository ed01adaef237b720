package shadowsocks

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"github.com/titanous/json5"
)

// decode decodes a whole file into target. Its errors are those of this
// package: those of the decoder quote content.
func decode(data []byte, target any) error {
	// libev's parser takes a byte order mark. Blanks keep the columns right.
	text := bytes.Clone(data)
	if mark := []byte("\ufeff"); bytes.HasPrefix(text, mark) {
		copy(text, "   ")
	}
	blankComments(text)
	err := json5.Unmarshal(text, target)
	var syntax *json5.SyntaxError
	var mismatch *json5.UnmarshalTypeError
	var value *ValueError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &value):
		return value
	case errors.As(err, &syntax):
		return position(data, syntax.Offset)
	case errors.As(err, &mismatch):
		at := position(data, mismatch.Offset)
		return &ValueError{
			Place:    fmt.Sprintf("the value at line %d, column %d", at.Line, at.Column),
			Value:    "of type " + mismatch.Value,
			Expected: expectedFor(mismatch.Type),
		}
	}
	// The decoder accepts some texts at first that it can't read after all, and
	// does not say where.
	return errors.New("a text or a number in it is not valid: expected JSON, JSON with comments or JSON5")
}

func expectedFor(target reflect.Type) string {
	if target.Kind() == reflect.Slice {
		return "a list, [...]"
	}
	return "an object, {...}"
}

// position returns where the last of the first offset bytes stands.
func position(data []byte, offset int64) *SyntaxError {
	before := data[:max(0, min(offset, int64(len(data)))-1)]
	start := bytes.LastIndexByte(before, '\n') + 1
	return &SyntaxError{
		Line:   bytes.Count(before, []byte{'\n'}) + 1,
		Column: utf8.RuneCount(before[start:]) + 1,
	}
}

// blankComments overwrites the comments in a JSON5 text with spaces, so that
// all else keeps its place. json5 v1.0.0 reads comments itself, but ends one
// that begins with /* at the first slash after any star, so that it refuses a
// comment with a star and, later, the path of a file in it.
func blankComments(text []byte) {
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case text[i] == '"' || text[i] == '\'':
			i += stringLength(rest) - 1
		case bytes.HasPrefix(rest, []byte("//")):
			i += blank(rest, bytes.IndexAny(rest, "\r\n")) - 1
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return // the decoder says where
			}
			i += blank(rest, 2+end+2) - 1
		}
	}
}

// stringLength returns the length of the string that text begins with, both
// quotes included.
func stringLength(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return i + 1
		}
	}
	return len(text)
}

// blank overwrites the first length bytes of text but line breaks, all of it
// if length is negative, and returns how many there were.
func blank(text []byte, length int) int {
	if length < 0 {
		length = len(text)
	}
	for i, c := range text[:length] {
		if c != '\n' && c != '\r' {
			text[i] = ' '
		}
	}
	return length
}
