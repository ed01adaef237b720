package commandline

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/failure"
	"ssmonitor/internal/spelling"
)

// onUsageError answers --help, which the flag package returns as an error because
// no such flag is defined, and suggests a flag in place of an unknown one.
func onUsageError(c *cli.Context, err error, _ bool) error {
	if errors.Is(err, flag.ErrHelp) {
		writeHelp(c.App.Writer, c.Command)
		return nil
	}
	name := c.Command.HelpName
	// The flag package has no type for this error.
	unknown, found := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !found {
		return failure.Wrong(fmt.Errorf("%w: see %s --help", err, name))
	}
	var known []string
	for _, flag := range c.Command.Flags {
		known = append(known, flag.Names()...)
	}
	suggestion := spelling.Closest(unknown, known)
	if suggestion != "" {
		suggestion = dashed(suggestion)
	}
	return failure.Wrong(fmt.Errorf("%s has no flag %s%s: see %s --help", name, dashed(unknown), spelling.DidYouMean(suggestion), name))
}

// needsCommand is the action of a command that only groups others.
func needsCommand(c *cli.Context) error {
	if c.Args().Present() {
		return unknownCommand(c.Command, c.Args().First())
	}
	writeHelp(c.App.Writer, c.Command)
	return nil
}

// unknownCommand returns the error for a name that is none of the subcommands.
func unknownCommand(parent *cli.Command, name string) error {
	var known []string
	for _, command := range parent.VisibleCommands() {
		known = append(known, command.Name)
	}
	_, path, _ := strings.Cut(parent.HelpName+" "+name, " ") // without the program
	return failure.Wrong(fmt.Errorf("there is no command %q%s: see %s --help", path, spelling.DidYouMean(spelling.Closest(name, known)), parent.HelpName))
}

// refuseArguments fails if there are arguments that belong to no flag.
func refuseArguments(c *cli.Context) error {
	if c.Args().Present() {
		return Unexpected(c, c.Args().First())
	}
	return nil
}

// Unexpected returns the error for an argument that the running command does not take.
func Unexpected(c *cli.Context, argument string) error {
	return failure.Wrong(fmt.Errorf("%q is not expected here: see %s --help", argument, c.Command.HelpName))
}
