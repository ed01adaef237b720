package compare_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// group is some rows of the table, about one measure.
type group struct {
	title, measure string
	alternatives   []string
	format         func(float64) string
}

var groups = []group{
	{"time per packet that the rules add, both hooks", perPacket,
		[]string{ssmonitor, plainCounter, legacyScript, nftScript, counterScript}, duration},
	{"processor time per reading of all counters", reading,
		[]string{ssmonitor, bareDump, library, legacyScript, nftScript, counterScript}, duration},
	{"time to install", installing,
		[]string{ssmonitor, nftFile, legacyScript, nftScript, counterScript}, duration},
	{"time of a small nft command of others", other,
		[]string{ssmonitor, nothing, legacyScript, nftScript, counterScript}, duration},
	{"processor time per tick of the whole agent, with pauses", perTick,
		[]string{ssmonitor, legacyScript, nftScript}, duration},
	{"resident memory", resident, []string{ssmonitor, legacyScript, nftScript}, size},
	{"of it anonymous", anonymous, []string{ssmonitor, legacyScript, nftScript}, size},
}

// nft/README.md has the section between these lines.
const (
	beginning = "<!-- `make bench-readme` writes what follows. -->\n\n"
	end       = "<!-- End of what `make bench-readme` writes. -->\n"
	readme    = "../../nft/README.md"
)

// section returns the part of the README that is made from the results: the
// table of the measures that there are, on what they were taken, and the plots. After each figure of an alternative
// stands its ratio to ssmonitor's.
func section(r *results) string {
	var text strings.Builder
	ports := r.ports()
	fmt.Fprint(&text, "| ports |")
	for _, number := range ports {
		fmt.Fprintf(&text, " %s |", thousands(number))
	}
	fmt.Fprintf(&text, "\n|---|%s\n", strings.Repeat("--:|", len(ports)))
	for _, g := range groups {
		if !slices.ContainsFunc(r.rows, func(row row) bool { return row.measure == g.measure }) {
			continue
		}
		fmt.Fprintf(&text, "| **%s** |%s\n", g.title, strings.Repeat(" |", len(ports)))
		for _, alternative := range g.alternatives {
			fmt.Fprintf(&text, "| %s |", alternative)
			for _, number := range ports {
				fmt.Fprintf(&text, " %s |", g.cell(r, alternative, number))
			}
			fmt.Fprint(&text, "\n")
		}
	}
	packet, _ := r.median(perPacket, noRules, ports[0])
	fmt.Fprintf(&text, "\nMeasured on %s.\nWithout rules a packet takes %s. ", r.machine, duration(packet))
	if slices.ContainsFunc(r.rows, func(r row) bool { return r.note != "" }) {
		fmt.Fprintf(&text, "A dash means that it takes %s.", strings.Join(r.notes(), " or "))
	}
	fmt.Fprint(&text, "\n\n")
	for _, p := range plots {
		fmt.Fprintf(&text, "![%s](../integration/compare/%s)\n", p.title, p.file)
	}
	text.WriteString("\n")
	return text.String()
}

// cell is empty if nothing was tried.
func (g group) cell(r *results, alternative string, ports int) string {
	value, found := r.median(g.measure, alternative, ports)
	ours, measured := r.median(g.measure, ssmonitor, ports)
	switch {
	case !found && measured && r.tooSlow(g.measure, alternative, ports):
		return "-"
	case !found:
		return ""
	case alternative == ssmonitor || !measured || ours <= 0:
		return g.format(value)
	}
	return g.format(value) + ", " + ratio(value/ours)
}

// tooSlow reports whether the alternative was too slow with as many ports or fewer.
func (r *results) tooSlow(measure, alternative string, ports int) bool {
	return slices.ContainsFunc(r.rows, func(row row) bool {
		return row.note != "" && (row.measure == measure || row.measure == installing) && row.alternative == alternative && row.ports <= ports
	})
}

func (r *results) notes() (notes []string) {
	for _, row := range r.rows {
		if row.note != "" {
			notes = append(notes, row.note)
		}
	}
	slices.Sort(notes)
	return slices.Compact(notes)
}

// writeREADME replaces the section in the README.
func writeREADME(t *testing.T, section string) {
	t.Helper()
	before, _, after := cutREADME(t)
	if err := os.WriteFile(readme, []byte(before+section+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cutREADME returns the section of the README, and what is before and after it.
func cutREADME(t *testing.T) (before, section, after string) {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), beginning)
	section, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("%s: want %q, and then %q", readme, beginning, end)
	}
	return before + beginning, section, end + after
}

// duration formats nanoseconds with three digits and a suitable unit.
func duration(nanoseconds float64) string {
	return scaled(nanoseconds, 1000, "ns", "µs", "ms", "s")
}

func size(bytes float64) string { return scaled(bytes, 1<<10, "B", "KiB", "MiB", "GiB") }

func scaled(value, step float64, units ...string) string {
	for len(units) > 1 && value >= 999.5 {
		value, units = value/step, units[1:]
	}
	return threeDigits(value) + " " + units[0]
}

func ratio(value float64) string {
	if value < 10 {
		return strconv.FormatFloat(value, 'f', 1, 64) + "×"
	}
	return thousands(int(value+0.5)) + "×"
}

func threeDigits(value float64) string {
	digits := 0
	switch {
	case value < 9.995 && value > -9.995:
		digits = 2
	case value < 99.95:
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64)
}

// thousands sets a comma before the last three digits of up to six.
func thousands(number int) string {
	digits := strconv.Itoa(number)
	if at := len(digits) - 3; at > 0 {
		return digits[:at] + "," + digits[at:]
	}
	return digits
}
