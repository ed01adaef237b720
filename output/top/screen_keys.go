package top

import "github.com/gdamore/tcell/v3"

// keyNames are the model's names of keys that are not text.
var keyNames = map[tcell.Key]string{
	tcell.KeyUp: keyUp, tcell.KeyDown: keyDown, tcell.KeyLeft: keyLeft, tcell.KeyRight: keyRight,
	tcell.KeyPgUp: keyPageUp, tcell.KeyPgDn: keyPageDown, tcell.KeyHome: keyHome, tcell.KeyEnd: keyEnd,
	tcell.KeyEnter: keyEnter, tcell.KeyEscape: keyEscape, tcell.KeyBackspace: keyBackspace,
	tcell.KeyCtrlU: keyClear, tcell.KeyCtrlC: keyInterrupt, tcell.KeyCtrlZ: keySuspend,
}

// keyName returns the model's name of a key, or the typed character.
func keyName(event *tcell.EventKey) string {
	if event.Key() == tcell.KeyRune {
		return event.Str()
	}
	return keyNames[event.Key()]
}
