package main

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// manual returns the page as source for man(7).
func manual(app *cli.App) []byte {
	m := &manualPage{}
	fmt.Fprintf(&m.b, ".TH SSMONITOR 8 %q %q %q\n", releaseDate(), "ssmonitor "+version(), "System Manager's Manual")
	m.section("NAME")
	fmt.Fprintf(&m.b, "ssmonitor \\- %s\n", roffText(app.Usage))
	m.section("SYNOPSIS")
	m.b.WriteString("\\fBssmonitor\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n")
	m.section("DESCRIPTION")
	m.description(app.Description)
	m.section("COMMANDS")
	for _, command := range allCommands(app) {
		if command.Hidden {
			continue
		}
		p := commandPage(command)
		fmt.Fprintf(&m.b, ".SS %s\n", roffText(strings.TrimSpace(p.name+" "+command.ArgsUsage)))
		m.description(upperFirst(p.usage) + ".\n\n" + p.description)
		for _, o := range p.options {
			if o.names[0] != "--help" { // of every command
				m.term(o.term(), o.text())
			}
		}
	}
	m.section("OPTIONS")
	for _, o := range appPage(app).options {
		m.term(o.term(), o.text())
	}
	m.section("CONFIGURATION")
	m.description(aboutSettings)
	for _, o := range settingsOptions(app) {
		m.term(strings.TrimPrefix(o.names[0], "--")+": "+cmp.Or(o.value, "true"), o.usage)
	}
	for _, s := range manualSections {
		m.section(s.title)
		m.description(s.text)
		for _, t := range s.terms {
			m.term(t.name, t.text)
		}
	}
	m.section("SEE ALSO")
	m.b.WriteString(seeAlso)
	return m.b.Bytes()
}

// settingsOptions returns the flags that are keys of the settings file: those
// of any command that have an environment variable, sorted by name.
func settingsOptions(app *cli.App) []option {
	byName := make(map[string]option)
	for _, command := range allCommands(app) {
		for _, o := range options(command.Flags) {
			_, known := byName[o.names[0]]
			if !known && len(o.environment) > 0 && o.names[0] != "--config" {
				byName[o.names[0]] = o
			}
		}
	}
	all := make([]option, 0, len(byName))
	for _, o := range byName {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b option) int { return strings.Compare(a.names[0], b.names[0]) })
	return all
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// manualPage writes the macros of man(7).
type manualPage struct {
	b     bytes.Buffer
	fresh bool // a heading precedes: it is followed by no paragraph macro
}

func (m *manualPage) section(title string) {
	fmt.Fprintf(&m.b, ".SH %s\n", title)
	m.fresh = true
}

// description writes the paragraphs and the literal text of a description.
func (m *manualPage) description(text string) {
	m.fresh = true // after .SH and .SS
	for _, block := range blocks(text) {
		if !m.fresh {
			m.b.WriteString(".PP\n")
		}
		m.fresh = false
		if block.kind == literalText {
			fmt.Fprintf(&m.b, ".RS 4\n.nf\n%s\n.fi\n.RE\n", roffLines(strings.ReplaceAll(block.text, "'", "\x00")))
			continue
		}
		m.fill(block.text)
	}
}

func (m *manualPage) term(name, text string) {
	fmt.Fprintf(&m.b, ".TP\n\\fB%s\\fR\n", roffText(name))
	m.fill(text)
}

// fill writes a paragraph in lines of a width that mandoc's lint accepts.
func (m *manualPage) fill(text string) {
	const width = 80
	line := ""
	for word := range strings.FieldsSeq(roffText(text)) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			m.b.WriteString(line + "\n")
			line = protect(word)
		default:
			line += " " + word
		}
	}
	m.b.WriteString(line + "\n")
}

var backquoted = regexp.MustCompile("`([^`]*)`")

// roffText escapes a line of text. What stands in backquotes becomes bold.
func roffText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`, "\x00", `\(aq`).Replace(text)
	text = backquoted.ReplaceAllString(text, `\fB$1\fR`)
	return protect(text)
}

// protect keeps roff from taking a line for a macro.
func protect(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// roffLines escapes lines of literal text.
func roffLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = roffText(line)
	}
	return strings.Join(lines, "\n")
}
