package checkup

import (
	"errors"
	"io/fs"

	"ssmonitor/internal/finding"
	"ssmonitor/internal/terminal"
)

const (
	// asRoot is the remedy for most of what is Unknown to other users.
	asRoot = "run it as root: sudo ssmonitor check"
	// migration is the remedy for what is left of the setup that ssmonitor
	// replaces.
	migration = "see Migration from the blog post in integration/README.md of the documentation"
	// seeLog is the remedy where the agent has logged the reason.
	seeLog = "see the agent's log: journalctl --unit ssmonitor"
	// runAgent is the remedy where nothing runs, and no unit is installed.
	runAgent = "start the agent: ssmonitor run (or install the package, whose unit does that at every boot)"
	// startAgent is the remedy where nothing runs.
	startAgent = "start the agent: systemctl enable --now ssmonitor (or, by hand, ssmonitor run)"
)

// needRoot returns the remedy where the user lacks a permission.
func (m *Machine) needRoot() string {
	if m.UID == 0 {
		return finding.OfRoot
	}
	return asRoot
}

// failure returns the finding for an error: Unknown if the user lacks the
// permission, else Wrong with the remedy.
func (m *Machine) failure(id finding.ID, subject string, err error, remedy string) finding.Finding {
	if errors.Is(err, fs.ErrPermission) {
		return finding.Finding{ID: id, Level: finding.Unknown, Subject: subject, Message: terminal.Line(err), Remedy: m.needRoot()}
	}
	return finding.Finding{ID: id, Level: finding.Wrong, Subject: subject, Message: terminal.Line(err), Remedy: remedy}
}
