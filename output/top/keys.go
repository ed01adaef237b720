package top

import (
	"unicode/utf8"

	"ssmonitor/internal/characters"
	"ssmonitor/internal/terminal"
)

// action is what a key asks of the program around the model.
type action int

// The actions.
const (
	actionNone action = iota
	actionQuit
	actionSuspend // stop until the shell continues the program
	actionDetail  // the detail view has been opened: it needs data
)

// The keys that are not text: their names in tcell, in lower case.
const (
	keyUp        = "<up>"
	keyDown      = "<down>"
	keyLeft      = "<left>"
	keyRight     = "<right>"
	keyPageUp    = "<pgup>"
	keyPageDown  = "<pgdn>"
	keyHome      = "<home>"
	keyEnd       = "<end>"
	keyEnter     = "<enter>"
	keyEscape    = "<esc>"
	keyBackspace = "<backspace>"
	keyClear     = "<ctrl-u>"
	keyInterrupt = "<ctrl-c>"
	keySuspend   = "<ctrl-z>"
)

// press handles a key: one of the names above or a typed character.
func (m *model) press(key string) action {
	switch {
	case key == keyInterrupt:
		return actionQuit
	case key == keySuspend:
		return actionSuspend
	case m.typing:
		m.edit(key)
	case m.help:
		m.help = false
		if key == "q" {
			return actionQuit
		}
	case key == "?", key == "h":
		m.help = true
	case key == " ", key == "p":
		m.paused = !m.paused
		m.refresh()
	case m.detail != nil:
		m.pressInDetail(key)
	default:
		return m.pressInTable(key)
	}
	return actionNone
}

func (m *model) pressInTable(key string) action {
	switch key {
	case "q":
		return actionQuit
	case "/":
		m.typing = true
	case keyEscape:
		if m.filter != "" {
			m.filter = ""
			m.arrange()
		} else {
			m.selected, m.first = "", 0
		}
	case keyEnter:
		return m.openDetail()
	case keyLeft:
		m.sortBy((m.by + len(columns) - 1) % len(columns))
	case keyRight:
		m.sortBy((m.by + 1) % len(columns))
	default:
		if m.move(key) {
			return actionNone
		}
		if by := columnOf(key); by >= 0 {
			m.sortBy(by)
		}
	}
	return actionNone
}

// sortBy sorts by a column; by the same again, the other way round.
func (m *model) sortBy(by int) {
	m.reversed = by == m.by && !m.reversed
	m.by = by
	m.arrange()
}

// move moves the selection, and reports whether the key does.
func (m *model) move(key string) bool {
	row := m.row()
	if key == keyPageDown {
		row = max(row, 0)
	}
	row, moves := m.scrolled(key, row, len(m.rows)-1)
	if moves && len(m.rows) > 0 {
		m.selected = m.rows[max(0, min(row, len(m.rows)-1))].label
	}
	return moves
}

// scrolled returns where a key leads from a row, which may be beyond the last one, and
// whether it is a key that moves.
func (m *model) scrolled(key string, row, last int) (to int, moves bool) {
	switch key {
	case keyUp:
		return row - 1, true
	case keyDown:
		return row + 1, true
	case keyPageUp:
		return row - m.page, true
	case keyPageDown:
		return row + m.page, true
	case keyHome, "g":
		return 0, true
	case keyEnd, "G":
		return last, true
	}
	return row, false
}

// edit changes the filter, which applies at once.
func (m *model) edit(key string) {
	switch key {
	case keyEnter:
		m.typing = false
	case keyEscape:
		m.typing, m.filter = false, ""
	case keyBackspace:
		_, last := utf8.DecodeLastRuneInString(m.filter)
		m.filter = m.filter[:len(m.filter)-last]
	case keyClear:
		m.filter = ""
	case keyUp, keyDown, keyPageUp, keyPageDown, keyHome, keyEnd: // without the letters
		m.typing = false
		m.move(key)
	default:
		r, size := utf8.DecodeRuneInString(key)
		if (size == len(key) || key[0] != '<') && (terminal.Text(key) == key || characters.Joiner(r)) {
			m.filter += key
		}
	}
	m.arrange()
}
