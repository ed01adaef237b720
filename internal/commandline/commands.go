// Package commandline is what a command line needs besides the library that reads it: help
// that knows subcommands, errors that suggest what was meant, a manual page, and what the
// shells complete. All of it is made from the commands and their flags.
package commandline

import (
	"slices"

	"github.com/urfave/cli/v2"
)

// Prepare completes a program whose commands are all there. Each command then has the words
// that call it, such as "ssmonitor client list", as its HelpName. Arguments are refused by
// those that have no ArgsUsage.
func Prepare(app *cli.App) {
	app.HideHelp = true // the library's help knows no subcommands; --help needs no flag: see onUsageError
	app.OnUsageError, app.Action = onUsageError, needsCommand
	app.ExitErrHandler = func(*cli.Context, error) {} // the caller of Run decides
	app.Setup()
	for _, command := range app.Commands {
		for _, sub := range command.Subcommands {
			sub.HelpName = command.HelpName + " " + sub.Name
		}
	}
	for _, command := range All(app) {
		command.HideHelp, command.OnUsageError = true, onUsageError
		switch {
		case len(command.Subcommands) > 0:
			command.Action = needsCommand
		case command.ArgsUsage == "" && !command.SkipFlagParsing:
			command.Before = refuseArguments
		}
	}
}

// program returns the program as the command to which its commands belong.
func program(app *cli.App) *cli.Command {
	return &cli.Command{
		Name: app.Name, HelpName: app.HelpName, Usage: app.Usage, Description: app.Description,
		Subcommands: app.Commands, Flags: app.Flags,
	}
}

// All returns the commands and, after each, its subcommands.
func All(app *cli.App) (all []*cli.Command) {
	for _, command := range app.Commands {
		all = append(append(all, command), command.Subcommands...)
	}
	return all
}

// find returns the command, or the program, that the words name, and the words after it.
func find(app *cli.App, words []string) (*cli.Command, []string) {
	found := program(app)
	for len(words) > 0 {
		i := slices.IndexFunc(found.Subcommands, func(command *cli.Command) bool { return command.HasName(words[0]) })
		if i < 0 {
			break
		}
		found, words = found.Subcommands[i], words[1:]
	}
	return found, words
}
