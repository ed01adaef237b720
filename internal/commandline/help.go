package commandline

import (
	"cmp"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpWidth is the most columns of --help.
const helpWidth = 80

const helpTemplate = `NAME:
   {{wrap (printf "%s - %s" .HelpName .Usage) 3}}

USAGE:
   {{wrap (synopsis .) 3}}
{{if .Description}}
DESCRIPTION:
   {{wrap .Description 3}}
{{end}}{{with .VisibleCommands}}
COMMANDS:{{range .}}
   {{join .Names ", "}}{{"\t"}}{{.Usage}}{{end}}
{{end}}
OPTIONS:{{range options .Flags}}
   {{.Term}}
      {{wrap .Text 6}}{{end}}
`

// Help prints the help of the command that the arguments name.
func Help(c *cli.Context) error {
	command, rest := find(c.App, c.Args().Slice())
	switch {
	case len(rest) == 0:
		writeHelp(c.App.Writer, command)
		return nil
	case len(command.Subcommands) > 0:
		return unknownCommand(command, rest[0])
	}
	return Unexpected(c, rest[0])
}

// writeHelp writes the help of a command as plain text. The library drops write errors: a
// writer whose errors matter must keep them.
func writeHelp(w io.Writer, command *cli.Command) {
	cli.HelpPrinterCustom(w, helpTemplate, command, map[string]any{
		"synopsis": synopsis, "options": options, "wrapAt": func() int { return helpWidth },
	})
}

// synopsis returns the form of a command's line.
func synopsis(command *cli.Command) string {
	if len(command.Subcommands) > 0 {
		return command.HelpName + " COMMAND [OPTION]..."
	}
	return strings.TrimSpace(command.HelpName + " [OPTION]... " + command.ArgsUsage)
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

func options(flags []cli.Flag) (all []option) {
	for _, flag := range flags {
		if hideable, ok := flag.(cli.VisibleFlag); ok && !hideable.IsVisible() {
			continue
		}
		all = append(all, newOption(flag))
	}
	return append(all, option{names: []string{"--help", "-h"}, usage: "print this help"})
}

func newOption(flag cli.Flag) (o option) {
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
	o.environment, o.usage = documented.GetEnvVars(), documented.GetUsage()
	if documented.TakesValue() {
		o.value, o.usage = splitUsage(o.usage)
		o.defaultText = cmp.Or(documented.GetDefaultText(), documented.GetValue())
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

// Name returns the long name, without dashes.
func (o option) Name() string { return strings.TrimLeft(o.names[0], "-") }

// Key returns the option as a line of the settings file.
func (o option) Key() string { return o.Name() + ": " + cmp.Or(o.value, "true") }

// Usage returns what the option does.
func (o option) Usage() string { return o.usage }

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
