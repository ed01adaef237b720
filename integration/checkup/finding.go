package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"ssmonitor/internal/terminal"
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

// LogLevel returns the level at which a finding is logged.
func (l Level) LogLevel() slog.Level {
	if l <= Note {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

const (
	// asRoot is the remedy for most of what is Unknown.
	asRoot = "run it as root: sudo ssmonitor check"
	// OfRoot is the remedy where root is not enough.
	OfRoot = "even root may not do this here: give the file to this root (chown, --userns), or grant CAP_DAC_OVERRIDE; SELinux needs a label (:z)"
	// migration is the remedy for what is left of the setup that ssmonitor
	// replaces.
	migration = "see Migration from the blog post in integration/README.md of the documentation"
	// seeLog is the remedy where the agent has logged the reason.
	seeLog = "see the agent's log: journalctl --unit ssmonitor"
	// startAgent is the remedy where nothing runs.
	startAgent = "start the agent: systemctl enable --now ssmonitor (or, by hand, ssmonitor run)"
)

// failure returns the finding for an error: Unknown if the user lacks the
// permission, else Wrong with the remedy.
func failure(id ID, subject string, err error, remedy string) Finding {
	if errors.Is(err, fs.ErrPermission) {
		return Finding{id, Unknown, subject, terminal.Line(err), asRoot}
	}
	return Finding{id, Wrong, subject, terminal.Line(err), remedy}
}

// Result returns the result of the whole check: Wrong if anything is wrong, else
// Unknown if anything could not be checked, else OK.
func Result(findings []Finding) Level {
	for _, level := range [...]Level{Wrong, Unknown} {
		if count(findings, level) > 0 {
			return level
		}
	}
	return OK
}

// Problems returns the findings that are Wrong or Unknown.
func Problems(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Level < Unknown })
}

func count(findings []Finding, level Level) (n int) {
	for _, finding := range findings {
		if finding.Level == level {
			n++
		}
	}
	return n
}
