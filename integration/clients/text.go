package clients

import (
	"regexp"
	"slices"
	"strings"
)

// find the values with quotation marks.
var (
	doubleQuoted = regexp.MustCompile(`(?s)^"(?:[^"\\]|\\.)*"`)
	singleQuoted = regexp.MustCompile(`(?s)^'(?:[^']|'')*'`)
	colon        = regexp.MustCompile(`^[ \t]*:`)
	// plainName is a name that needs no quotation marks, unless it is a reserved word.
	plainName = regexp.MustCompile(`^[\p{L}_][\p{L}\p{M}\p{N}_.-]*(?: [\p{L}\p{M}\p{N}_.-]+)*$`)
	plainSpec = regexp.MustCompile(`^[0-9a-z/-]+$`)
)

// reserved are words that are no texts in YAML, or were none in its first versions.
var reserved = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

func quoteName(name string) string {
	if plainName.MatchString(name) && !slices.Contains(reserved, strings.ToLower(name)) {
		return name
	}
	return quoted(name)
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// list returns specifications as a list in one line.
func list(specs []string) string { return "[" + joined(specs) + "]" }

func joined(specs []string) string {
	parts := make([]string, len(specs))
	for i, spec := range specs {
		parts[i] = quoteSpec(spec)
	}
	return strings.Join(parts, ", ")
}

func quoteSpec(spec string) string {
	if plainSpec.MatchString(spec) {
		return spec
	}
	return quoted(spec)
}

// listStyle is how the ports of a block stand in the text.
type listStyle int

const (
	single  listStyle = iota // one value
	flow                     // [20000, 20001]
	entries                  // - 20000, in lines of their own
)

func (e *edit) styleOf(b *block) listStyle {
	switch at := e.doc.text[e.offset(b.list):]; {
	case strings.HasPrefix(at, "["):
		return flow
	case strings.HasPrefix(at, "-"):
		return entries
	}
	return single
}

// offset returns where in the text a place is, in bytes.
func (e *edit) offset(at place) (offset int) {
	text := e.doc.text
	for range at.line - 1 {
		next := strings.IndexByte(text[offset:], '\n')
		if next < 0 {
			e.unclear = true
			return 0
		}
		offset += next + 1
	}
	column := 1
	for i := range text[offset:] {
		if column == at.column {
			return offset + i
		}
		column++
	}
	e.unclear = e.unclear || column != at.column
	return len(text)
}

// spanOf returns where a value of one line stands, with its quotation marks.
func (e *edit) spanOf(at place, value string) span {
	start := e.offset(at)
	rest := e.doc.text[start:]
	length := len(value)
	switch {
	case strings.HasPrefix(rest, `"`):
		length = len(doubleQuoted.FindString(rest))
	case strings.HasPrefix(rest, `'`):
		length = len(singleQuoted.FindString(rest))
	case !strings.HasPrefix(rest, value):
		e.unclear = true
		return span{start, start}
	}
	e.unclear = e.unclear || length == 0
	return span{start, start + length}
}

// lineOf returns the line that a byte is in, with its end.
func (e *edit) lineOf(offset int) span {
	text := e.doc.text
	line := span{strings.LastIndexByte(text[:offset], '\n') + 1, len(text)}
	if end := strings.IndexByte(text[offset:], '\n'); end >= 0 {
		line.end = offset + end + 1
	}
	return line
}

// insertLines inserts whole lines behind the line that a byte is in.
func (e *edit) insertLines(offset int, lines string) {
	at := e.lineOf(offset).end
	if at > 0 && e.doc.text[at-1] != '\n' {
		lines = "\n" + strings.TrimSuffix(lines, "\n")
	}
	e.insert(at, lines)
}

// rename gives a block another name.
func (e *edit) rename(i int, name string) {
	b := e.doc.blocks[i]
	e.want[i].name = name
	e.splice(e.spanOf(b.key, b.Name), quoteName(name))
}

// appendBlock appends a block to the text.
func (e *edit) appendBlock(name string, specs []string) {
	e.want = append(e.want, wanted{name: name, specs: specs})
	indent := ""
	if len(e.doc.blocks) > 0 {
		indent = strings.Repeat(" ", e.doc.blocks[0].key.column-1)
	}
	lines := indent + quoteName(name) + ":\n"
	if len(specs) > 0 {
		lines += indent + "  " + portsKey + ": " + list(specs) + "\n"
	}
	e.insertLines(len(e.doc.text), lines)
}

// removeBlock removes a block: the line of its name, and those below it that are
// indented more.
func (e *edit) removeBlock(i int) {
	b := e.doc.blocks[i]
	e.want[i].removed = true
	key := e.spanOf(b.key, b.Name)
	gone := e.lineOf(key.start)
	if strings.TrimSpace(e.doc.text[gone.start:key.start]) != "" {
		e.unclear = true
	}
	for end := gone.end; end < len(e.doc.text); {
		line := e.lineOf(end)
		text := e.doc.text[line.start:line.end]
		if strings.TrimSpace(text) != "" {
			if len(text)-len(strings.TrimLeft(text, " ")) < b.key.column {
				break
			}
			gone.end = line.end
		}
		end = line.end
	}
	e.splice(gone, "")
}

// append appends ports to those of a block.
func (e *edit) append(i int, specs []string) {
	b := e.doc.blocks[i]
	if len(specs) == 0 {
		return
	}
	e.want[i].specs = append(e.want[i].specs, specs...)
	switch {
	case b.empty:
		indent := strings.Repeat(" ", b.key.column+1)
		e.insertLines(e.spanOf(b.key, b.Name).end, indent+portsKey+": "+list(specs)+"\n")
	case b.listKey == nil: // {}
		e.insert(e.offset(b.value)+1, portsKey+": "+list(specs))
	case b.listEmpty:
		end := e.spanOf(*b.listKey, portsKey).end
		e.insert(end+len(colon.FindString(e.doc.text[end:])), " "+list(specs))
	case len(b.items) == 0: // []
		e.insert(e.offset(b.list)+1, joined(specs))
	default:
		e.appendItems(b, specs)
	}
}

// appendItems appends ports to others.
func (e *edit) appendItems(b *block, specs []string) {
	last := b.items[len(b.items)-1]
	end := e.spanOf(last.place, last.spec).end
	switch e.styleOf(b) {
	case flow:
		e.insert(end, ", "+joined(specs))
	case entries:
		e.insertLines(end, e.lines(b, specs))
	case single:
		e.insert(e.offset(b.list), "[")
		e.insert(end, ", "+joined(specs)+"]")
	}
}

// lines returns lines of a list with one value per line.
func (e *edit) lines(b *block, specs []string) (lines string) {
	for _, spec := range specs {
		lines += strings.Repeat(" ", b.list.column-1) + "- " + quoteSpec(spec) + "\n"
	}
	return lines
}

// replaceItems writes what is next in place of each item of a block.
func (e *edit) replaceItems(i int, next [][]string) {
	b := e.doc.blocks[i]
	e.want[i].specs = slices.Concat(next...)
	style := e.styleOf(b)
	for k, item := range b.items {
		at := e.spanOf(item.place, item.spec)
		switch {
		case slices.Equal(next[k], []string{item.spec}):
		case style == entries:
			e.replaceEntry(b, at, next[k])
		case len(next[k]) > 0:
			text := joined(next[k])
			if style == single && len(next[k]) > 1 {
				text = list(next[k])
			}
			e.splice(at, text)
		default:
			e.splice(e.withComma(b, k, at, next), "")
		}
	}
}

// replaceEntry replaces a value that has a line of its own.
func (e *edit) replaceEntry(b *block, at span, next []string) {
	if len(next) == 0 {
		e.splice(e.lineOf(at.start), "")
		return
	}
	e.splice(at, quoteSpec(next[0]))
	if len(next) > 1 {
		e.insertLines(at.end, e.lines(b, next[1:]))
	}
}

// withComma returns what is to be removed with an item of a list in brackets: the comma
// behind it, or, if no item remains behind it, the one before it.
func (e *edit) withComma(b *block, k int, at span, next [][]string) span {
	behind := e.doc.text[at.end:]
	if k+1 < len(b.items) && slices.ContainsFunc(next[k+1:], func(specs []string) bool { return len(specs) > 0 }) {
		rest := strings.TrimPrefix(strings.TrimLeft(behind, " "), ",")
		if next := strings.TrimLeft(rest, " "); !strings.HasPrefix(next, "#") && !strings.HasPrefix(next, "\n") {
			rest = next
		}
		return span{at.start, len(e.doc.text) - len(rest)}
	}
	before := strings.TrimRight(e.doc.text[:at.start], " ")
	if before, found := strings.CutSuffix(before, ","); found {
		return span{len(strings.TrimRight(before, " ")), at.end}
	}
	return at
}
