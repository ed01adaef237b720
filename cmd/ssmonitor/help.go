package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// The layout of --help: text is indented by helpIndent and reaches at most to
// helpWidth; what an option does begins in helpColumn.
const (
	helpWidth  = 80
	helpIndent = 3
	helpColumn = 28
)

// addHelp replaces the library's command help and flag --version, which neither
// wrap lines nor report a failed write. --help needs no flag: see onUsageError.
func addHelp(app *cli.App) {
	app.HideHelp, app.HideVersion = true, true
	app.Commands = append(app.Commands, helpCommand())
	app.Flags = append(app.Flags, &cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"})
	for _, command := range allCommands(app) {
		command.HideHelp = true
	}
}

// namedCommand is a command with all its names, such as "client list".
type namedCommand struct {
	*cli.Command
	path string
}

// allCommands returns the commands and, after each, its subcommands.
func allCommands(app *cli.App) (all []namedCommand) {
	for _, command := range app.Commands {
		all = append(all, namedCommand{command, command.Name})
		for _, sub := range command.Subcommands {
			all = append(all, namedCommand{sub, command.Name + " " + sub.Name})
		}
	}
	return all
}

// commandOf returns the command that is running. It is the zero value before a
// command's name was read.
func commandOf(c *cli.Context) namedCommand {
	for _, command := range allCommands(c.App) {
		if command.Command == c.Command {
			return command
		}
	}
	return namedCommand{}
}

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Aliases:   []string{"h"},
		Usage:     "print the help of a command",
		ArgsUsage: "[COMMAND]...",
		Description: "Examples:\n\n" +
			"   ssmonitor help setup\n" +
			"   ssmonitor help client new",
		Action: func(c *cli.Context) error {
			p, commands, path := appPage(c.App), c.App.Commands, ""
			for _, name := range c.Args().Slice() {
				if path != "" && len(commands) == 0 {
					return unexpected(c, name)
				}
				i := slices.IndexFunc(commands, func(command *cli.Command) bool { return command.HasName(name) })
				if i < 0 {
					return unknownCommand(path, commands, name)
				}
				path = strings.TrimSpace(path + " " + commands[i].Name)
				p = commandPage(namedCommand{commands[i], path})
				commands = commands[i].Subcommands
			}
			return writeHelp(c.App.Writer, p)
		},
	}
}

// page is the contents of --help and of the manual for the program or one command.
type page struct {
	name, usage, synopsis, description string
	commands                           []*cli.Command
	options                            []option
}

func appPage(app *cli.App) page {
	return page{
		name: app.Name, usage: app.Usage, synopsis: app.Name + " COMMAND [OPTION]...", description: app.Description,
		commands: app.VisibleCommands(), options: options(app.Flags),
	}
}

func commandPage(command namedCommand) page {
	name := "ssmonitor " + command.path
	synopsis := strings.TrimSpace(name + " [OPTION]... " + command.ArgsUsage)
	if len(command.Subcommands) > 0 {
		synopsis = name + " COMMAND [OPTION]..."
	}
	return page{
		name: name, usage: command.Usage, synopsis: synopsis, description: command.Description,
		commands: command.Subcommands, options: options(command.Flags),
	}
}

// option is a flag as the help shows it.
type option struct {
	names       []string // with their dashes, the long one first
	value       string   // the name of the value; empty if it takes none
	usage       string   // what it does
	defaultText string   // empty: none
	environment []string // variables that set it
	repeatable  bool
}

func options(flags []cli.Flag) []option {
	var all []option
	for _, flag := range flags {
		if visible, ok := flag.(cli.VisibleFlag); ok && !visible.IsVisible() {
			continue
		}
		all = append(all, newOption(flag))
	}
	return append(all, option{names: []string{"--help", "-h"}, usage: "print this help"})
}

func newOption(flag cli.Flag) option {
	var o option
	for _, name := range flag.Names() {
		o.names = append(o.names, dashed(name))
	}
	documented, ok := flag.(cli.DocGenerationFlag)
	if !ok {
		return o
	}
	if repeated, ok := flag.(cli.DocGenerationSliceFlag); ok {
		o.repeatable = repeated.IsSliceFlag()
	}
	o.environment = documented.GetEnvVars()
	o.usage = documented.GetUsage()
	if documented.TakesValue() {
		o.value, o.usage = splitUsage(o.usage)
		if o.defaultText = documented.GetDefaultText(); o.defaultText == "" {
			o.defaultText = documented.GetValue()
		}
	}
	return o
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// splitUsage returns the name of the value, which is in backquotes, and the usage
// without the backquotes.
func splitUsage(usage string) (value, text string) {
	before, rest, opened := strings.Cut(usage, "`")
	value, after, closed := strings.Cut(rest, "`")
	if !opened || !closed {
		return "VALUE", usage
	}
	return value, before + value + after
}

// term returns the option's names and the name of its value.
func (o option) term() string {
	term := strings.Join(o.names, ", ")
	if o.value != "" {
		term += " " + o.value
	}
	return term
}

// text returns what the option does, its default and its variables.
func (o option) text() string {
	text := o.usage
	if o.defaultText != "" {
		text += " (default: " + o.defaultText + ")"
	}
	if len(o.environment) > 0 {
		text += " [$" + strings.Join(o.environment, ", $") + "]"
	}
	return text
}

// writeHelp writes the page as plain text.
func writeHelp(w io.Writer, p page) error {
	var b strings.Builder
	fmt.Fprintf(&b, "NAME:\n")
	writeWrapped(&b, p.name+" - "+p.usage, helpIndent)
	fmt.Fprintf(&b, "\nUSAGE:\n")
	writeWrapped(&b, p.synopsis, helpIndent)
	if p.description != "" {
		fmt.Fprintf(&b, "\nDESCRIPTION:\n")
		for _, block := range blocks(p.description) {
			switch block.kind {
			case paragraph:
				writeWrapped(&b, block.text, helpIndent)
			default:
				for line := range strings.Lines(block.text + "\n") {
					b.WriteString(strings.TrimRight(strings.Repeat(" ", 2*helpIndent)+line, " \n") + "\n")
				}
			}
			b.WriteByte('\n')
		}
	}
	if len(p.commands) > 0 {
		fmt.Fprintf(&b, "COMMANDS:\n")
		for _, command := range p.commands {
			writeTerm(&b, strings.Join(command.Names(), ", "), command.Usage)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "OPTIONS:\n")
	for _, o := range p.options {
		writeTerm(&b, o.term(), o.text())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTerm writes a term and, in a second column, its description.
func writeTerm(b *strings.Builder, term, text string) {
	start := strings.Repeat(" ", helpIndent) + term
	if utf8.RuneCountInString(start) > helpColumn-2 {
		b.WriteString(start + "\n")
		start = ""
	}
	var wrapped strings.Builder
	writeWrapped(&wrapped, text, helpColumn)
	b.WriteString(start + wrapped.String()[len(start):])
}

// writeWrapped writes the words of text, indented, in lines of helpWidth.
func writeWrapped(b *strings.Builder, text string, indent int) {
	column := 0
	for word := range strings.FieldsSeq(text) {
		width := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			b.WriteString(strings.Repeat(" ", indent))
			column = indent
		case column+1+width > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += width
	}
	b.WriteByte('\n')
}

// A description consists of paragraphs and, indented, literal text.
type blockKind int

const (
	paragraph blockKind = iota
	literalText
)

type block struct {
	kind blockKind
	text string // of literal text: lines without the common indent
}

// blocks splits a description. Empty lines end a block.
func blocks(description string) []block {
	const literalIndent = "   "
	var all []block
	ended := true
	for line := range strings.SplitSeq(description, "\n") {
		kind := paragraph
		literal, indented := strings.CutPrefix(line, literalIndent)
		switch {
		case strings.TrimSpace(line) == "":
			ended = true
			continue
		case indented:
			kind, line = literalText, literal
		}
		if last := len(all) - 1; !ended && all[last].kind == kind {
			all[last].text += "\n" + line
		} else {
			all = append(all, block{kind, line})
		}
		ended = false
	}
	return all
}
