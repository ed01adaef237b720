package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Writer returns a writer of whole lines that escapes everything but line breaks. It
// guards what somebody forgot: it can't know which line breaks are forged.
func Writer(w io.Writer) io.Writer {
	return writer(func(data []byte) error {
		var safe bytes.Buffer
		for line := range bytes.Lines(data) {
			text, broken := bytes.CutSuffix(line, []byte("\n"))
			safe.WriteString(Text(string(text)))
			if broken {
				safe.WriteByte('\n')
			}
		}
		_, err := w.Write(safe.Bytes())
		return err
	})
}

// NewJSONEncoder returns the encoder of all JSON that this project writes. It escapes no
// characters of HTML. The characters that Text escapes are written as in \u202e: whoever
// decodes them gets the same values, and a terminal that shows the JSON comes to no harm.
func NewJSONEncoder(w io.Writer) *json.Encoder {
	encoder := json.NewEncoder(writer(func(data []byte) error {
		if bytes.IndexFunc(data, func(r rune) bool { return r > '~' }) >= 0 {
			data = escapeJSON(string(data))
		}
		_, err := w.Write(data)
		return err
	}))
	encoder.SetEscapeHTML(false)
	return encoder
}

func escapeJSON(text string) []byte {
	safe := make([]byte, 0, len(text))
	for i, r := range text {
		end := i + max(1, utf8.RuneLen(r))
		switch first, second := utf16.EncodeRune(r); {
		case r <= '~' || shows(text, i, end, r): // the encoder has escaped controls of ASCII
			safe = utf8.AppendRune(safe, r)
		case first != utf8.RuneError:
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, first, second)
		default:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
	}
	return safe
}

// writer takes the whole of what is written, however long that is once escaped.
type writer func(data []byte) error

// Write implements io.Writer.
func (w writer) Write(data []byte) (int, error) {
	if err := w(data); err != nil {
		return 0, err
	}
	return len(data), nil
}
