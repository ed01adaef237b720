package shadowsocks

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxDepth is far above the nesting of any configuration.
	maxDepth = 1000
	// maxValues bounds the memory that a file can take: this many values take
	// about 30 MB.
	maxValues = 1 << 18
)

// json5Parser reads JSON5 as shadowsocks-rust does, which includes JSON and JSON
// with comments and trailing commas. Keys are case-sensitive. It keeps the
// content of known values only, so that no password is ever decoded.
type json5Parser struct {
	data   []byte
	offset int
	depth  int
	values int
	hash   bool // # begins a comment too, as for Xray
}

// parseJSON5 reads a whole file. Its error is a *SyntaxError or a *ValueError.
func parseJSON5(data []byte) (value, error) { return parseJSON(data, false) }

// parseJSON is parseJSON5 with # as the beginning of a comment, if hash is set.
func parseJSON(data []byte, hash bool) (value, error) {
	p := &json5Parser{data: data, hash: hash}
	p.offset = len(data) - len(bytes.TrimPrefix(data, []byte("\ufeff")))
	v, ok := p.value("", true)
	if ok {
		p.space()
		ok = p.offset == len(p.data)
	}
	if p.values > maxValues {
		return value{}, &ValueError{"the file", "too large", "at most 262144 values"}
	}
	if !ok {
		return value{}, position(data, p.offset)
	}
	return v, nil
}

// position returns the line and column of the byte at offset.
func position(data []byte, offset int) *SyntaxError {
	before := data[:min(offset, len(data))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return &SyntaxError{
		Line:   bytes.Count(before, []byte{'\n'}) + 1,
		Column: utf8.RuneCount(before[start:]) + 1,
	}
}

// peek returns the next byte, or 0 at the end.
func (p *json5Parser) peek() byte {
	if p.offset < len(p.data) {
		return p.data[p.offset]
	}
	return 0
}

// accept skips the text if it is next.
func (p *json5Parser) accept(text string) bool {
	if !bytes.HasPrefix(p.data[p.offset:], []byte(text)) {
		return false
	}
	p.offset += len(text)
	return true
}

// space skips white space and comments. A comment without an end is left for
// the caller to stumble over.
func (p *json5Parser) space() {
	for p.offset < len(p.data) {
		rest := p.data[p.offset:]
		r, size := utf8.DecodeRune(rest)
		switch {
		case bytes.HasPrefix(rest, []byte("//")), p.hash && r == '#':
			size = len(rest)
			if end := bytes.IndexAny(rest, "\n\r\u2028\u2029"); end >= 0 {
				size = end
			}
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return
			}
			size = end + 4
		case !strings.ContainsRune("\t\n\v\f\r \u00a0\u2028\u2029\ufeff", r) && !unicode.Is(unicode.Zs, r):
			return
		}
		p.offset += size
	}
}

// value reads the value of a key. Where keep is false, it checks the syntax and
// keeps the kind only.
func (p *json5Parser) value(key string, keep bool) (value, bool) {
	p.space()
	if keep {
		p.values++
	}
	if p.depth++; p.depth > maxDepth || p.values > maxValues {
		return value{}, false
	}
	defer func() { p.depth-- }()
	switch c := p.peek(); {
	case c == '{':
		return p.object(key, keep)
	case c == '[':
		return p.list(key, keep)
	case c == '"' || c == '\'':
		text, ok := p.quoted(keep)
		return value{kind: kindText, scalar: reduce(key, text)}, ok
	case p.accept("null"):
		return value{kind: kindNull}, p.boundary()
	case p.accept("true"):
		return value{kind: kindBool, scalar: "true"}, p.boundary()
	case p.accept("false"):
		return value{kind: kindBool, scalar: "false"}, p.boundary()
	}
	text, ok := p.number()
	if !keep || reducers[key] != nil {
		text = ""
	}
	return value{kind: kindNumber, scalar: text}, ok
}

// boundary reports whether a word or a number ends here.
func (p *json5Parser) boundary() bool {
	r, _ := utf8.DecodeRune(p.data[p.offset:])
	return p.offset == len(p.data) || !isIdentifierPart(r) && r != '.' && r != '+' && r != '-'
}

func (p *json5Parser) object(parent string, keep bool) (value, bool) {
	v := value{kind: kindObject}
	for p.offset++; ; {
		p.space()
		if p.accept("}") {
			return v, true
		}
		key, ok := p.key(keep)
		if p.space(); !ok || !p.accept(":") {
			return v, false
		}
		v.size++
		key = spelled(key)
		kept, content := keeps(parent, key)
		child, ok := p.value(within(parent, key), keep && content)
		if !ok {
			return v, false
		}
		if keep && kept {
			v.members = append(v.members, member{key, child})
			p.values++
		}
		if !p.separator('}') {
			return v, false
		}
	}
}

func (p *json5Parser) list(key string, keep bool) (value, bool) {
	v := value{kind: kindList}
	for p.offset++; ; {
		p.space()
		if p.accept("]") {
			return v, true
		}
		child, ok := p.value(key, keep)
		if !ok {
			return v, false
		}
		v.size++
		if keep {
			v.items = append(v.items, child)
		}
		if !p.separator(']') {
			return v, false
		}
	}
}

// separator skips a comma, or reports whether the end is next.
func (p *json5Parser) separator(end byte) bool {
	p.space()
	return p.accept(",") || p.peek() == end
}

// key reads a key: a quoted text or an identifier.
func (p *json5Parser) key(keep bool) (string, bool) {
	if c := p.peek(); c == '"' || c == '\'' {
		return p.quoted(keep)
	}
	var name []byte
	for first := true; ; first = false {
		r, size := utf8.DecodeRune(p.data[p.offset:])
		begin := p.offset
		if p.accept(`\u`) {
			var ok bool
			if r, ok = p.hexadecimal(4); !ok {
				p.offset = begin
				return "", false
			}
		} else if isIdentifierPart(r) {
			p.offset += size
		} else {
			return string(name), !first
		}
		if !isIdentifierPart(r) || first && !isIdentifierStart(r) {
			p.offset = begin
			return "", false
		}
		if keep && len(name) < 64 { // longer than any known key
			name = utf8.AppendRune(name, r)
		}
	}
}

func isIdentifierStart(r rune) bool {
	return r == '$' || r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r)
}

func isIdentifierPart(r rune) bool {
	return r != utf8.RuneError && (isIdentifierStart(r) || unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc) ||
		r == '\u200c' || r == '\u200d')
}

// quoted reads a text in quotes and returns it without them, or nothing if it
// is not to be kept.
func (p *json5Parser) quoted(keep bool) (string, bool) {
	quote, begin := p.data[p.offset], p.offset
	p.offset++
	var text []byte
	for p.offset < len(p.data) {
		escape := p.offset
		r, size := utf8.DecodeRune(p.data[p.offset:])
		switch {
		case r == rune(quote):
			p.offset++
			return string(text), true
		case r == '\n' || r == '\r' || r == utf8.RuneError && size == 1:
			return "", false
		}
		p.offset += size
		if r == '\\' {
			var ok, continued bool
			if r, continued, ok = p.escape(); !ok {
				p.offset = escape
				return "", false
			}
			if continued {
				continue
			}
		}
		if keep {
			text = utf8.AppendRune(text, r)
		}
	}
	p.offset = begin // the quote that has no partner
	return "", false
}

// escape reads what follows a backslash: a character, or the end of a line,
// after which the text is continued.
func (p *json5Parser) escape() (r rune, continued, ok bool) {
	r, size := utf8.DecodeRune(p.data[p.offset:])
	if size == 0 || r == utf8.RuneError && size == 1 {
		return 0, false, false
	}
	p.offset += size
	switch r {
	case '\r':
		p.accept("\n")
		return 0, true, true
	case '\n', '\u2028', '\u2029':
		return 0, true, true
	case 'b', 't', 'n', 'v', 'f', 'r':
		return []rune{'\b', '\t', '\n', '\v', '\f', '\r'}[strings.IndexRune("btnvfr", r)], false, true
	case '0':
		return 0, false, !isDigit(p.peek())
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return 0, false, false
	case 'x':
		r, ok = p.hexadecimal(2)
		return r, false, ok
	case 'u':
		r, ok = p.unicode()
		return r, false, ok
	}
	return r, false, true
}

// unicode reads the digits after \u, and those of a second half.
func (p *json5Parser) unicode() (rune, bool) {
	const high, low, end = 0xd800, 0xdc00, 0xe000
	r, ok := p.hexadecimal(4)
	if !ok || r < high || r >= end {
		return r, ok
	}
	if r >= low || !p.accept(`\u`) {
		return 0, false
	}
	second, ok := p.hexadecimal(4)
	if !ok || second < low || second >= end {
		return 0, false
	}
	return (r-high)<<10 + second - low + 0x10000, true
}

func (p *json5Parser) hexadecimal(digits int) (rune, bool) {
	var r rune
	for range digits {
		digit := bytes.IndexByte([]byte("0123456789abcdef"), p.peek()|0x20)
		if digit < 0 || p.peek() < '0' {
			return 0, false
		}
		r = r<<4 + rune(digit)
		p.offset++
	}
	return r, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number reads a number and returns its spelling.
func (p *json5Parser) number() (string, bool) {
	begin := p.offset
	if c := p.peek(); c == '+' || c == '-' {
		p.offset++
	}
	digits := func(set string) int {
		first := p.offset
		for p.offset < len(p.data) && strings.IndexByte(set, p.data[p.offset]) >= 0 {
			p.offset++
		}
		return p.offset - first
	}
	const decimal = "0123456789"
	ok := true
	switch {
	case p.accept("Infinity"), p.accept("NaN"):
	case p.accept("0x"), p.accept("0X"):
		ok = digits(decimal+"abcdefABCDEF") > 0
	default:
		whole := digits(decimal)
		if whole > 1 && p.data[p.offset-whole] == '0' {
			ok = false
		}
		fraction := 0
		if p.accept(".") {
			fraction = digits(decimal)
		}
		if whole+fraction == 0 {
			ok = false
		}
		if p.accept("e") || p.accept("E") {
			if !p.accept("+") {
				p.accept("-")
			}
			ok = ok && digits(decimal) > 0
		}
	}
	if !ok || !p.boundary() {
		p.offset = begin
		return "", false
	}
	return string(slices.Clone(p.data[begin:p.offset])), true
}
