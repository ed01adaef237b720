// Package finding is the result of a check, whoever makes it: its stable id, how serious it is,
// what was found, and what to do about it.
package finding

import (
	"fmt"
	"strings"
)

// Level is the result of one check.
type Level int

// The levels, from the best to the worst.
const (
	OK      Level = iota // as it should be
	Note                 // worth knowing
	Unknown              // could not be checked
	Wrong                // does not work
)

var levelNames = [...]string{OK: "ok", Note: "note", Unknown: "unknown", Wrong: "wrong"}

// String returns the level's name in JSON: ok, note, unknown or wrong.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("level %d", int(l))
	}
	return levelNames[l]
}

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is the result of one check of one thing.
type Finding struct {
	ID      ID
	Level   Level
	Subject string // the file, chain or socket that it is about, where there is one
	Message string
	Remedy  string // what to do about it, in lines; empty: nothing
}

// Line returns the message and the remedy in one line.
func (f Finding) Line() string {
	if f.Remedy == "" {
		return f.Message
	}
	return f.Message + ": " + strings.ReplaceAll(f.Remedy, "\n", "; ")
}

// OfRoot is the remedy where root is not enough.
const OfRoot = "even root may not do this here: give the file to this root (chown, --userns), or grant CAP_DAC_OVERRIDE; SELinux needs a label (:z)"
