package main

import (
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpWidth is the most columns of --help.
const helpWidth = 80

const helpTemplate = `NAME:
   {{wrap (printf "%s - %s" .Name .Usage) 3}}

USAGE:
   {{wrap .Synopsis 3}}
{{if .Description}}
DESCRIPTION:
   {{wrap .Description 3}}
{{end}}{{if .Commands}}
COMMANDS:{{range .Commands}}
   {{join .Names ", "}}{{"\t"}}{{.Usage}}{{end}}
{{end}}
OPTIONS:{{range .Options}}
   {{.Term}}
      {{wrap .Text 6}}{{end}}
`

// addHelp replaces the library's command help, which knows no subcommands. --help needs no
// flag: see onUsageError.
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
			writeHelp(c.App.Writer, p)
			return nil
		},
	}
}

// page is the contents of --help and of the manual for the program or one command.
type page struct {
	Name, Usage, Synopsis, Description string
	Commands                           []*cli.Command
	Options                            []option
}

func appPage(app *cli.App) page {
	return page{
		Name: app.Name, Usage: app.Usage, Synopsis: app.Name + " COMMAND [OPTION]...", Description: app.Description,
		Commands: app.VisibleCommands(), Options: options(app.Flags),
	}
}

func commandPage(command namedCommand) page {
	name := "ssmonitor " + command.path
	synopsis := strings.TrimSpace(name + " [OPTION]... " + command.ArgsUsage)
	if len(command.Subcommands) > 0 {
		synopsis = name + " COMMAND [OPTION]..."
	}
	return page{
		Name: name, Usage: command.Usage, Synopsis: synopsis, Description: command.Description,
		Commands: command.Subcommands, Options: options(command.Flags),
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

// Term returns the option's names and the name of its value.
func (o option) Term() string {
	term := strings.Join(o.names, ", ")
	if o.value != "" {
		term += " " + o.value
	}
	return term
}

// Text returns what the option does, its default and its variables.
func (o option) Text() string {
	text := o.usage
	if o.defaultText != "" {
		text += " (default: " + o.defaultText + ")"
	}
	if len(o.environment) > 0 {
		text += " [$" + strings.Join(o.environment, ", $") + "]"
	}
	return text
}

// writeHelp writes the page as plain text. A failed write is kept by the checkedWriter.
func writeHelp(w io.Writer, p page) {
	cli.HelpPrinterCustom(w, helpTemplate, p, map[string]any{"wrapAt": func() int { return helpWidth }})
}
