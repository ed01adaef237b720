package checkup

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"ssmonitor/internal/terminal"
)

// WriteText writes one line per finding with its remedy indented below.
func WriteText(w io.Writer, findings []Finding) error {
	b := bufio.NewWriter(w)
	for _, finding := range findings {
		word := finding.Level.String()
		if finding.Level == Wrong {
			word = "WRONG" // stands out
		}
		fmt.Fprintf(b, "%-8s%s\n", word, terminal.Text(finding.Message))
		for _, line := range remedyLines(finding.Remedy) {
			fmt.Fprintf(b, "          %s\n", terminal.Text(line))
		}
	}
	return b.Flush()
}

// WriteSummary writes the counts of the findings as one line, with an empty line
// above.
func WriteSummary(w io.Writer, findings []Finding) error {
	var parts []string
	switch wrong := count(findings, Wrong); wrong {
	case 0:
		parts = append(parts, "Nothing wrong was found")
	case 1:
		parts = append(parts, "1 thing is wrong")
	default:
		parts = append(parts, fmt.Sprintf("%d things are wrong", wrong))
	}
	if unknown := count(findings, Unknown); unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be checked", unknown))
	}
	if notes := count(findings, Note); notes > 0 {
		parts = append(parts, terminal.Count(notes, "note"))
	}
	_, err := fmt.Fprintf(w, "\n%s.\n", strings.Join(parts, ", "))
	return err
}

// WriteJSON writes the findings as an object with the result and the counts of
// all of them. With problemsOnly the array has only those that are Wrong or
// Unknown.
func WriteJSON(w io.Writer, findings []Finding, problemsOnly bool) error {
	type finding struct {
		ID      ID       `json:"id"`
		Level   Level    `json:"level"`
		Subject string   `json:"subject,omitempty"`
		Message string   `json:"message"`
		Remedy  []string `json:"remedy,omitempty"`
	}
	document := struct {
		Result   Level         `json:"result"`
		Counts   map[Level]int `json:"counts"`
		Findings []finding     `json:"findings"`
	}{Result(findings), make(map[Level]int), []finding{}}
	for level := range levelNames {
		document.Counts[Level(level)] = count(findings, Level(level))
	}
	if problemsOnly {
		findings = Problems(findings)
	}
	for _, f := range findings {
		document.Findings = append(document.Findings, finding{f.ID, f.Level, f.Subject, f.Message, remedyLines(f.Remedy)})
	}
	encoder := json.NewEncoder(terminal.JSONWriter(w))
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

// WriteNagios writes the one line that Nagios and its relatives expect of a
// plugin: the state, the first problem, and the counts as performance data.
func WriteNagios(w io.Writer, findings []Finding) error {
	result := Result(findings)
	state := map[Level]string{OK: "OK", Wrong: "CRITICAL", Unknown: "UNKNOWN"}[result]
	text := terminal.Count(len(findings), "finding") + ", nothing wrong"
	for _, finding := range findings {
		if result != OK && finding.Level == result {
			text = terminal.Text(finding.Message)
			break
		}
	}
	if more := len(Problems(findings)) - 1; more > 0 {
		text += fmt.Sprintf(" (and %s)", terminal.Count(more, "more problem"))
	}
	// A vertical bar would begin the performance data.
	text = strings.ReplaceAll(text, "|", "/")
	_, err := fmt.Fprintf(w, "SSMONITOR %s - %s | wrong=%d unknown=%d note=%d ok=%d\n", state, text,
		count(findings, Wrong), count(findings, Unknown), count(findings, Note), count(findings, OK))
	return err
}

func remedyLines(remedy string) []string {
	if remedy == "" {
		return nil
	}
	return strings.Split(remedy, "\n")
}
