// Package checkup looks at what is around the agent and says what is right and
// wrong, each with what to do: the list of ports beside Shadowsocks'
// configurations, the socket, the CSV file, Netdata, and what is left of the
// set-up that ssmonitor replaces. It changes nothing, and says what it could
// not see.
package checkup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Level says what a finding amounts to.
type Level int

// The levels. Only Wrong makes a check fail.
const (
	OK     Level = iota // as it should be
	Note                // worth knowing
	Wrong               // something does not work
	Unseen              // the calling user may not see it
)

// String returns the word that begins a finding's line.
func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Note:
		return "note"
	case Wrong:
		return "WRONG"
	case Unseen:
		return "unseen"
	}
	return fmt.Sprintf("level %d", int(l))
}

// Finding is one thing that was looked at.
type Finding struct {
	Level Level
	What  string
	Do    string // what to do about it, in lines; empty: nothing
}

// AsRoot is what to do about most that could not be seen.
const AsRoot = "run it as root: sudo ssmonitor check"

// Failure is a finding about something that could not be looked at: Unseen
// where the user may not, else Wrong with what to do.
func Failure(err error, do string) Finding {
	if errors.Is(err, fs.ErrPermission) {
		return Finding{Unseen, err.Error(), AsRoot}
	}
	return Finding{Wrong, err.Error(), do}
}

// HasWrong tells whether the check has failed.
func HasWrong(findings []Finding) bool { return count(findings, Wrong) > 0 }

func count(findings []Finding, level Level) (n int) {
	for _, finding := range findings {
		if finding.Level == level {
			n++
		}
	}
	return n
}

// Write writes one line a finding, what to do indented below, and a summary of
// one line at the end.
func Write(w io.Writer, findings []Finding) error {
	b := bufio.NewWriter(w)
	for _, finding := range findings {
		fmt.Fprintf(b, "%-8s%s\n", finding.Level, strings.ReplaceAll(finding.What, "\n", " "))
		if finding.Do == "" {
			continue
		}
		for line := range strings.SplitSeq(finding.Do, "\n") {
			fmt.Fprintf(b, "          %s\n", line)
		}
	}
	fmt.Fprintf(b, "\n%s\n", summary(findings))
	return b.Flush()
}

func summary(findings []Finding) string {
	var parts []string
	switch wrong := count(findings, Wrong); wrong {
	case 0:
		parts = append(parts, "Nothing that was seen is wrong")
	case 1:
		parts = append(parts, "1 thing is wrong")
	default:
		parts = append(parts, fmt.Sprintf("%d things are wrong", wrong))
	}
	if unseen := count(findings, Unseen); unseen > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be seen", unseen))
	}
	switch notes := count(findings, Note); notes {
	case 0:
	case 1:
		parts = append(parts, "1 note")
	default:
		parts = append(parts, fmt.Sprintf("%d notes", notes))
	}
	return strings.Join(parts, ", ") + "."
}
