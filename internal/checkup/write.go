package checkup

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"ssmonitor/internal/finding"
	"ssmonitor/internal/terminal"
)

// Result returns the result of the whole check: Wrong if anything is wrong, else
// Unknown if anything could not be checked, else OK.
func Result(findings []finding.Finding) (worst finding.Level) {
	for _, f := range Problems(findings) {
		worst = max(worst, f.Level)
	}
	return worst
}

// Problems returns the findings that are Wrong or Unknown.
func Problems(findings []finding.Finding) []finding.Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f finding.Finding) bool { return f.Level < finding.Unknown })
}

// tally counts the findings of each level.
func tally(findings []finding.Finding) map[finding.Level]int {
	counts := map[finding.Level]int{finding.OK: 0, finding.Note: 0, finding.Unknown: 0, finding.Wrong: 0}
	for _, f := range findings {
		counts[f.Level]++
	}
	return counts
}

// WriteText writes one line per finding with its remedy indented below.
func WriteText(w io.Writer, findings []finding.Finding) error {
	b := bufio.NewWriter(w)
	for _, f := range findings {
		word := f.Level.String()
		if f.Level == finding.Wrong {
			word = "WRONG" // stands out
		}
		fmt.Fprintf(b, "%-8s%s\n", word, terminal.Text(f.Message))
		for _, line := range remedyLines(f.Remedy) {
			fmt.Fprintf(b, "          %s\n", terminal.Text(line))
		}
	}
	return b.Flush()
}

// WriteSummary writes the counts of the findings as one line, with an empty line
// above.
func WriteSummary(w io.Writer, findings []finding.Finding) error {
	counts := tally(findings)
	var parts []string
	switch wrong := counts[finding.Wrong]; wrong {
	case 0:
		parts = append(parts, "Nothing wrong was found")
	case 1:
		parts = append(parts, "1 thing is wrong")
	default:
		parts = append(parts, fmt.Sprintf("%d things are wrong", wrong))
	}
	if unknown := counts[finding.Unknown]; unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be checked", unknown))
	}
	if notes := counts[finding.Note]; notes > 0 {
		parts = append(parts, terminal.Count(notes, "note"))
	}
	_, err := fmt.Fprintf(w, "\n%s.\n", strings.Join(parts, ", "))
	return err
}

// WriteJSON writes the findings as an object with the result and the counts of
// all of them. With problemsOnly the array has only those that are Wrong or
// Unknown.
func WriteJSON(w io.Writer, findings []finding.Finding, problemsOnly bool) error {
	type jsonFinding struct {
		ID      finding.ID    `json:"id"`
		Level   finding.Level `json:"level"`
		Subject string        `json:"subject,omitempty"`
		Message string        `json:"message"`
		Remedy  []string      `json:"remedy,omitempty"`
	}
	document := struct {
		Result   finding.Level         `json:"result"`
		Counts   map[finding.Level]int `json:"counts"`
		Findings []jsonFinding         `json:"findings"`
	}{Result(findings), tally(findings), []jsonFinding{}}
	if problemsOnly {
		findings = Problems(findings)
	}
	for _, f := range findings {
		document.Findings = append(document.Findings, jsonFinding{f.ID, f.Level, f.Subject, f.Message, remedyLines(f.Remedy)})
	}
	encoder := terminal.NewJSONEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

// WriteNagios writes the one line that Nagios and its relatives expect of a
// plugin: the state, the first problem, and the counts as performance data.
func WriteNagios(w io.Writer, findings []finding.Finding) error {
	result := Result(findings)
	state := map[finding.Level]string{finding.OK: "OK", finding.Wrong: "CRITICAL", finding.Unknown: "UNKNOWN"}[result]
	text := terminal.Count(len(findings), "finding") + ", nothing wrong"
	for _, f := range findings {
		if result != finding.OK && f.Level == result {
			text = terminal.Text(f.Message)
			break
		}
	}
	if more := len(Problems(findings)) - 1; more > 0 {
		text += fmt.Sprintf(" (and %s)", terminal.Count(more, "more problem"))
	}
	// A vertical bar would begin the performance data.
	text = strings.ReplaceAll(text, "|", "/")
	counts := tally(findings)
	_, err := fmt.Fprintf(w, "SSMONITOR %s - %s | wrong=%d unknown=%d note=%d ok=%d\n", state, text,
		counts[finding.Wrong], counts[finding.Unknown], counts[finding.Note], counts[finding.OK])
	return err
}

func remedyLines(remedy string) []string {
	if remedy == "" {
		return nil
	}
	return strings.Split(remedy, "\n")
}
