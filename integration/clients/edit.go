package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ssmonitor/internal/atomicfile"
	"ssmonitor/internal/configfile"
	"ssmonitor/internal/safeyaml"
)

// header begins a new file.
const header = `# The clients of this host: who is who, whatever configurations say. Edit it, or use
# "ssmonitor client add", "remove" and "rename", which keep what else stands here.
# A name that changes here is another name of the same person; for another person:
# "ssmonitor client new PORT NAME". One block per client; ports as in 20000,
# 20000-20009, 20000/tcp or "20000@ADDRESS", where the host forwards it:
#
#     alice:
#       ports: [20000, 20001/tcp]
`

// mode is that of a new file: it contains no secret.
const mode fs.FileMode = 0o644

const byteOrderMark = "\ufeff"

// ErrByHand means that the file is written in a way in which it can't be changed without
// losing something else. The error says what to write.
var ErrByHand = errors.New("can't be changed here without losing something else, so edit the file")

// Change is a change of a clients file: [Add] and its like make one.
type Change struct{ apply func(*edit) error }

// Edit makes changes in the clients file at path, one after another, and creates it if necessary. Edits at the same
// time take turns. The new file replaces the old one as a whole, with its mode and owner,
// after it was read again: on any error, the old one is in force as it was. A change that
// changes nothing leaves the file alone.
func Edit(path string, changes ...Change) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("changing the clients: %w", err)
	}
	err := atomicfile.InTurn(path, func() error { return replace(path, changes) })
	if err != nil {
		return fmt.Errorf("changing the clients: %w", err)
	}
	return nil
}

// Preview returns the file that [Edit] would leave, and changes nothing.
func Preview(path string, changes ...Change) (*File, error) {
	_, changed, _, err := change(path, changes)
	if err != nil {
		return nil, fmt.Errorf("changing the clients: %w", err)
	}
	doc, err := parse(changed)
	if err != nil {
		return nil, err
	}
	return doc.file(), nil
}

func replace(path string, changes []Change) error {
	old, changed, missing, err := change(path, changes)
	switch {
	case err != nil || bytes.Equal(old, changed):
		return err
	case missing:
		return atomicfile.Write(path, changed, mode)
	}
	return atomicfile.Replace(path, changed)
}

// change returns the text of the file, or what begins one that is missing, and the changed
// text.
func change(path string, changes []Change) (old, changed []byte, missing bool, err error) {
	old, err = configfile.Read(path, safeyaml.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		_, linkErr := os.Lstat(path)
		missing = linkErr != nil // else it is a link that leads nowhere
	}
	if missing {
		old = []byte(header)
	} else if err != nil {
		return nil, nil, false, err
	}
	changed = old
	for _, change := range changes {
		if changed, err = change.of(changed); err != nil {
			return nil, nil, false, fmt.Errorf("%s: %w", path, err)
		}
	}
	return old, changed, missing, nil
}

// of returns the text of a changed file.
func (c Change) of(old []byte) ([]byte, error) {
	doc, err := parse(old)
	if err != nil {
		return nil, err
	}
	e := &edit{doc: doc}
	for _, b := range doc.blocks {
		e.want = append(e.want, wanted{name: b.Name, specs: b.specs()})
	}
	if err := c.apply(e); err != nil || len(e.splices) == 0 && !e.unclear {
		return old, err
	}
	style := styleOf(old)
	changed := style.render(e.text())
	if e.unclear || !bytes.Equal(style.render(doc.text), old) || !e.achieved(changed) {
		return nil, e.byHand()
	}
	return changed, nil
}

// style is how a text begins and how its lines end.
type style struct{ mark, lineEnd string }

func styleOf(text []byte) style {
	s := style{lineEnd: "\n"}
	if bytes.HasPrefix(text, []byte(byteOrderMark)) {
		s.mark = byteOrderMark
	}
	if bytes.Contains(text, []byte("\r\n")) {
		s.lineEnd = "\r\n"
	}
	return s
}

func (s style) render(text string) []byte {
	return []byte(s.mark + strings.ReplaceAll(text, "\n", s.lineEnd))
}

// edit collects the changes of a text.
type edit struct {
	doc     *document
	splices []splice
	want    []wanted // what is to be read then: first the blocks of the document
	unclear bool     // something was not found in the text
}

// wanted is a block that is to be read from the changed text.
type wanted struct {
	name    string
	specs   []string
	removed bool
}

// splice replaces a part of the text.
type splice struct {
	span
	text string
}

// span is a part of the text, in bytes.
type span struct{ start, end int }

func (e *edit) splice(where span, text string) { e.splices = append(e.splices, splice{where, text}) }

func (e *edit) insert(at int, text string) { e.splice(span{at, at}, text) }

// text returns the changed text.
func (e *edit) text() string {
	slices.SortStableFunc(e.splices, func(a, b splice) int { return a.start - b.start })
	var changed strings.Builder
	at := 0
	for _, s := range e.splices {
		if s.start < at {
			e.unclear = true
			return ""
		}
		changed.WriteString(e.doc.text[at:s.start] + s.text)
		at = s.end
	}
	return changed.String() + e.doc.text[at:]
}

// achieved reports whether a text has what was wanted.
func (e *edit) achieved(text []byte) bool {
	doc, err := parse(text)
	return err == nil && slices.EqualFunc(doc.blocks, e.remaining(), func(b *block, w wanted) bool {
		return b.Name == w.name && slices.Equal(b.specs(), w.specs)
	})
}

// remaining returns the blocks that are wanted.
func (e *edit) remaining() []wanted {
	return slices.DeleteFunc(slices.Clone(e.want), func(w wanted) bool { return w.removed })
}

// byHand says what somebody is to write.
func (e *edit) byHand() error {
	var steps []string
	for i, w := range e.want {
		switch {
		case i >= len(e.doc.blocks):
			steps = append(steps, "add "+w.line())
		case w.removed:
			steps = append(steps, "remove the block of "+quoteName(e.doc.blocks[i].Name))
		case w.name != e.doc.blocks[i].Name || !slices.Equal(w.specs, e.doc.blocks[i].specs()):
			steps = append(steps, fmt.Sprintf("in line %d write %s", e.doc.blocks[i].Line, w.line()))
		}
	}
	return fmt.Errorf("it %w: %s", ErrByHand, strings.Join(steps, "; "))
}

// line returns a block in one line.
func (w wanted) line() string {
	if w.specs == nil {
		return quoteName(w.name) + ":"
	}
	return quoteName(w.name) + ": {ports: " + list(w.specs) + "}"
}

// specs returns the specifications of a block, as they stand there.
func (b *block) specs() (specs []string) {
	for _, item := range b.items {
		specs = append(specs, item.spec)
	}
	return specs
}
