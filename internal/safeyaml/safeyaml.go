// Package safeyaml reads YAML whose author may mean harm. The library panics on some
// input and overflows its stack on other, and its errors quote what they find, which
// may be a password. Here input is bounded first, a panic becomes an error of that
// text, and errors have positions instead of content.
package safeyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"ssmonitor/internal/terminal"
)

const (
	// MaxSize is the most bytes of YAML: the library takes hundreds of times the
	// memory of a list, and a time that grows with its square.
	MaxSize = 256 << 10
	// maxMarks is the most commas, colons and line ends, whatever they stand in. A text
	// has hardly more values than that, and the library takes a kilobyte and more for
	// each.
	maxMarks = 1 << 15
	// maxDepth bounds the nesting that one line can begin.
	maxDepth = 1000
)

// ErrTooLarge means that the text has more than MaxSize bytes, or too many values.
var ErrTooLarge = errors.New("too large: want at most " + Most())

// Most describes how much YAML is not too large.
func Most() string {
	return fmt.Sprintf("%d KiB of YAML, with %d commas, colons and lines", MaxSize>>10, maxMarks)
}

// Error says where a text is not what it should be. It does not say what stands there,
// except for the name of a key that is a word.
type Error struct {
	Line, Column int // from 1; the column in characters
	Reason       string
}

// Error names line and column.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Invalid is what a method UnmarshalYAML returns for a value that it can't take. It is
// the error of Decode as it is.
type Invalid string

// Error returns the text.
func (e Invalid) Error() string { return string(e) }

// Decode decodes the first document into a pointer to a struct. The error is an *Error,
// Invalid or ErrTooLarge.
func Decode(text []byte, into any, options ...yaml.DecodeOption) error {
	return Guard(text, func() error {
		err := yaml.UnmarshalWithOptions(text, into, options...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		return locate(err)
	})
}

// Walk calls visit with the tree of the text, and returns its error. Other errors are
// as those of Decode.
func Walk(text []byte, visit func(*ast.File) error) error {
	return Guard(text, func() error {
		file, err := parser.ParseBytes(text, 0)
		if err != nil {
			return locate(err)
		}
		return visit(file)
	})
}

// Guard lets something else read the text: it refuses what no library survives, and
// turns a panic into an *Error.
func Guard(text []byte, read func() error) (err error) {
	if len(text) > MaxSize || marks(text) > maxMarks {
		return ErrTooLarge
	}
	if line := tooDeep(text); line > 0 {
		return &Error{line, 1, "too much nesting"}
	}
	defer func() {
		if recover() != nil {
			err = &Error{1, 1, notYAML}
		}
	}()
	return read()
}

const notYAML = "want YAML"

// locate returns an *Error with the position at which the library found a mistake, or
// Invalid as it is.
func locate(err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[Invalid](err); ok {
		return own
	}
	position := &Error{1, 1, notYAML}
	located, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return position
	}
	if at := located.GetToken(); at != nil && at.Position != nil {
		position.Line, position.Column = at.Position.Line, at.Position.Column
	}
	switch located := located.(type) {
	case *yaml.SyntaxError:
		switch {
		case twice.MatchString(located.Message):
			position.Reason = twice.ReplaceAllString(located.Message, "the key $1 stands in line $2 already")
		case !strings.Contains(located.Message, `"`): // else it quotes a value
			position.Reason = notYAML + ": " + located.Message
		}
	case *yaml.TypeError:
		position.Reason = "want " + describe(located.DstType)
	case *yaml.OverflowError:
		position.Reason = "the number is too large"
	default: // these name keys and kinds
		position.Reason = located.GetMessage()
	}
	position.Reason = terminal.Text(quoted.ReplaceAllStringFunc(position.Reason, quotedWord))
	return position
}

// Word returns the name of a key in quotation marks if it is a word, and else that it is
// not shown.
func Word(key string) string { return quotedWord(`"` + key + `"`) }

func quotedWord(quoted string) string {
	if word.MatchString(quoted) {
		return quoted
	}
	return notShown
}

var (
	// quoted is the name of a key in a message.
	quoted = regexp.MustCompile(`(?s)".*"`)
	// twice is the message about a key that a map has already.
	twice = regexp.MustCompile(`(?s)^mapping key (".*") already defined at \[(\d+):\d+\]$`)
	// word is one that is a word. Anything else may be a password in the wrong place.
	word = regexp.MustCompile(`^"[A-Za-z][A-Za-z_-]*"$`)
)

// describe names what is to be decoded as people write it.
func describe(kind reflect.Type) string {
	switch kind.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "keys with values"
	case reflect.String:
		return "a text"
	}
	return "a number"
}

func marks(text []byte) (count int) {
	for _, mark := range []string{",", ":", "\n"} {
		count += bytes.Count(text, []byte(mark))
	}
	return count
}

// tooDeep returns the number of the line that nests too much, or 0. The library
// is recursive, and a stack that overflows can't be recovered.
func tooDeep(text []byte) int {
	flow, number := 0, 0
	for line := range bytes.Lines(text) {
		number++
		opened := bytes.Count(line, []byte("[")) + bytes.Count(line, []byte("{"))
		flow += opened - bytes.Count(line, []byte("]")) - bytes.Count(line, []byte("}"))
		nested := bytes.Count(line, []byte("- ")) + bytes.Count(line, []byte("? ")) +
			bytes.Count(line, []byte("!")) + bytes.Count(line, []byte("&"))
		if opened > maxDepth || flow > maxDepth || nested > maxDepth {
			return number
		}
	}
	return 0
}
