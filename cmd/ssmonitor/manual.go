package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/urfave/cli/v2"
)

// manual returns the page as source for man(7).
func manual(app *cli.App) []byte {
	title := fmt.Sprintf("%% SSMONITOR 8 %q %q %q\n\n", releaseDate(), "ssmonitor "+version(), "System Manager's Manual")
	return md2man.Render([]byte(title + manualText(app)))
}

// manualText returns the manual in Markdown, with definition lists.
func manualText(app *cli.App) string {
	m := &manualWriter{}
	m.section("NAME", "ssmonitor - "+app.Usage)
	m.section("SYNOPSIS", "**ssmonitor** *COMMAND* [*OPTION*]...")
	m.section("DESCRIPTION", app.Description)
	m.section("COMMANDS", "")
	for _, command := range allCommands(app) {
		if command.Hidden {
			continue
		}
		p := commandPage(command)
		m.heading("###", strings.TrimSpace(p.Name+" "+command.ArgsUsage), upperFirst(p.Usage)+".\n\n"+p.Description)
		for _, o := range p.Options {
			if o.names[0] != "--help" { // of every command
				m.term(o.Term(), o.Text())
			}
		}
	}
	m.section("OPTIONS", "")
	for _, o := range appPage(app).Options {
		m.term(o.Term(), o.Text())
	}
	m.section("CONFIGURATION", aboutSettings)
	for _, o := range settingsOptions(app) {
		m.term(strings.TrimPrefix(o.names[0], "--")+": "+cmp.Or(o.value, "true"), o.usage)
	}
	for _, s := range manualSections {
		m.section(s.title, s.text)
		for _, t := range s.terms {
			m.term(t.name, t.text)
		}
	}
	m.section("SEE ALSO", seeAlso)
	return m.String()
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

// manualWriter writes Markdown.
type manualWriter struct{ strings.Builder }

func (m *manualWriter) section(title, text string) { m.heading("#", title, text) }

// heading writes a heading and what belongs to it. Literal text is indented by four
// columns in Markdown, by three in the help.
func (m *manualWriter) heading(level, title, text string) {
	fmt.Fprintf(m, "%s %s\n\n", level, title)
	if text != "" {
		fmt.Fprintf(m, "%s\n\n", strings.ReplaceAll(text, "\n   ", "\n    "))
	}
}

func (m *manualWriter) term(name, text string) { fmt.Fprintf(m, "**%s**\n: %s\n\n", name, text) }
