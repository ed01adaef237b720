package setup

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/terminal"
	"ssmonitor/nft"
)

// The ways in which a port of the list can change, as JSON names them.
const (
	portAdded   = "added"
	portRemoved = "removed"
	portChanged = "changed"
)

// maxConfigurations is the most configurations that the table names: ss-manager writes
// one for each port.
const maxConfigurations = 10

// Report is what setup prints about the list of ports.
type Report struct {
	List           string          `json:"list"`
	Ports          []Port          `json:"ports"`
	Configurations []Configuration `json:"configurations"`
	Notes          []string        `json:"notes"`
}

// Configuration is a file that was read, and what it was taken for.
type Configuration struct {
	Path         string `json:"path"`
	Program      string `json:"program"`
	RecognisedBy string `json:"recognised_by"`
	Ports        int    `json:"ports"`
}

// Port is a port of the new list or, if it was removed, of the earlier one.
type Port struct {
	Port uint16 `json:"port"`
	Counted
	Sources []string `json:"sources,omitempty"`
	Change  string   `json:"change,omitempty"`
	Before  *Counted `json:"before,omitempty"` // of a changed port
}

// Counted is what is counted for a port, and for whom.
type Counted struct {
	Protocols []string `json:"protocols"`
	Name      string   `json:"name,omitempty"`
	Published bool     `json:"published,omitempty"`
	Targets   []string `json:"targets,omitempty"` // as in tcp 172.17.0.2:8388
}

// newReport compares what was found with the earlier list.
func newReport(list string, earlier []portlist.Entry, found *Found) *Report {
	report := &Report{List: list, Ports: []Port{}, Configurations: []Configuration{}, Notes: []string{}}
	for _, config := range found.Configs {
		ports, _ := accounting.Union(config.Ports)
		report.Configurations = append(report.Configurations,
			Configuration{config.Path, config.Form.Program, config.Form.Sign, len(ports)})
	}
	before, _ := accounting.Union(portlist.Ports(earlier))
	targetsBefore, _ := before.Targets(portlist.Targets(earlier)) // setup replaces a list with a mistake
	var sourcesBefore accounting.PortMap[[]string]
	for _, entry := range earlier {
		from := sourcesBefore.At(entry.Number)
		*from = append(*from, entry.Sources...)
	}
	for _, entry := range found.Entries {
		row := newPort(entry)
		old, existed := before.Find(entry.Number)
		oldTargets := targetsOf(targetsBefore, entry.Number)
		switch {
		case !existed:
			row.Change = portAdded
		case old != entry.Port || !slices.Equal(oldTargets, entry.Targets):
			row.Change = portChanged
			before := newCounted(old, oldTargets)
			row.Before = &before
		}
		report.Ports = append(report.Ports, row)
	}
	for _, old := range before {
		if _, remains := found.Ports.Find(old.Number); !remains {
			row := newPort(portlist.Entry{Port: old, Sources: sourcesBefore.Get(old.Number), Targets: targetsOf(targetsBefore, old.Number)})
			row.Change = portRemoved
			report.Ports = append(report.Ports, row)
		}
	}
	slices.SortStableFunc(report.Ports, func(a, b Port) int { return int(a.Port) - int(b.Port) })
	for _, remark := range found.Remarks {
		report.Notes = append(report.Notes, remark.Error())
	}
	return report
}

// changed reports whether the list differs from the earlier one.
func (r *Report) changed() bool {
	return slices.ContainsFunc(r.Ports, func(port Port) bool { return port.Change != "" })
}

// count returns the number of ports in the new list.
func (r *Report) count() (ports int) {
	for _, port := range r.Ports {
		if port.Change != portRemoved {
			ports++
		}
	}
	return ports
}

func newPort(entry portlist.Entry) Port {
	return Port{Port: entry.Number, Counted: newCounted(entry.Port, entry.Targets), Sources: entry.Sources}
}

func newCounted(port accounting.Port, targets []accounting.Target) Counted {
	counted := Counted{Name: port.Name, Published: port.Published}
	for protocol := range port.Protocols.All() {
		counted.Protocols = append(counted.Protocols, protocol.String())
	}
	for _, target := range targets {
		counted.Targets = append(counted.Targets, target.String())
	}
	return counted
}

// targetsOf returns the targets of one port, of sorted targets.
func targetsOf(targets []accounting.Target, port uint16) []accounting.Target {
	byPort := func(target accounting.Target, port int) int { return int(target.Port) - port }
	begin, _ := slices.BinarySearchFunc(targets, int(port), byPort)
	end, _ := slices.BinarySearchFunc(targets, int(port)+1, byPort)
	return targets[begin:end]
}

// describe describes what is counted without the name.
func (c *Counted) describe() string {
	text := strings.Join(c.Protocols, ", ")
	if c.Published || len(c.Targets) > 0 {
		text += ", forwarded"
	}
	if len(c.Targets) > 0 {
		text += " to " + strings.Join(c.Targets, ", ")
	}
	return text
}

// WriteJSON writes the report as one indented JSON object, as `setup --json` prints it.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := terminal.NewJSONEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// writeConfigurations writes one line per configuration, most of them at most: whoever
// reads it sees what a file was taken for.
func (r *Report) writeConfigurations(w io.Writer, most int) {
	if len(r.Configurations) > 0 {
		fmt.Fprintln(w)
	}
	for i, config := range r.Configurations {
		if i == most {
			fmt.Fprintf(w, "and %d more configurations\n", len(r.Configurations)-most)
			return
		}
		form := &shadowsocks.Form{Program: config.Program, Sign: config.RecognisedBy}
		fmt.Fprintf(w, "%s: %s: %s\n", terminal.Text(config.Path), form, terminal.Count(config.Ports, "port"))
	}
}

// WriteTable writes one line per port or long range of ports that differ in nothing else,
// and one per configuration. Its first column marks the changes. Of more ports than most it leaves out those without a change, and further
// ones.
func (r *Report) WriteTable(w io.Writer, charset terminal.Charset, most int) error {
	rows := [][]string{{"  PORT", "COUNTED", "NAME", "SOURCE"}}
	changes := make(map[string]int)
	renamed := false
	for _, port := range r.Ports {
		changes[port.Change]++
	}
	left := len(r.Ports)
	for _, part := range portRanges(r.Ports) {
		if len(r.Ports) > most && (part[0].Change == "" || len(rows)-1 == most) {
			continue
		}
		renamed = renamed || slices.ContainsFunc(part, Port.renamed)
		rows = append(rows, row(part, charset))
		left -= len(part)
	}
	writeRows(w, rows)
	if left > 0 {
		fmt.Fprintf(w, "  and %d more\n", left)
	}
	if renamed {
		fmt.Fprint(w, "\n~ A name that changes is the same person's, whose usage goes on, unless it was given by ssmonitor client new PORT NAME\n")
	}
	r.writeConfigurations(w, min(most, maxConfigurations))
	summary := "nothing has changed"
	var parts []string
	for _, change := range []string{portAdded, portRemoved, portChanged} {
		if changes[change] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", changes[change], change))
		}
	}
	if len(parts) > 0 {
		summary = strings.Join(parts, ", ")
	}
	_, err := fmt.Fprintf(w, "\n%s counted, listed in %s: %s.\n", terminal.Count(r.count(), "port"), terminal.Text(r.List), summary)
	return err
}

// writeRows aligns the columns by the cells that a terminal needs for them.
func writeRows(w io.Writer, rows [][]string) {
	last := len(rows[0]) - 1
	widths := make([]int, last)
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], terminal.Width(row[i]))
		}
	}
	for _, row := range rows {
		for i, width := range widths {
			fmt.Fprint(w, terminal.PadRight(row[i], width), "  ")
		}
		fmt.Fprintln(w, row[last])
	}
}

// WriteDry prints the list, as comments, and the ruleset that setup would write.
func (r *Report) WriteDry(w io.Writer, charset terminal.Charset, hook nft.Hook, found *Found) error {
	var table strings.Builder
	if err := r.WriteTable(&table, charset, math.MaxInt); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		if _, err := io.WriteString(w, "# "+line); err != nil {
			return err
		}
	}
	return nft.WriteRuleset(w, hook, found.Ports, found.Forwarding)
}
