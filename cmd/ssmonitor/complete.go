package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// candidate is a possible completion of the word at the cursor.
type candidate struct{ value, usage string }

// For these two the completion scripts let the shell complete file names.
var (
	anyFile      = candidate{value: ":files"}
	anyDirectory = candidate{value: ":directories"}
)

// completeCommand is what the completion scripts call: its arguments are the
// words after the program's name up to the cursor, the last one unfinished.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, SkipFlagParsing: true,
		Usage: "print what can follow, for completion scripts",
		Action: func(c *cli.Context) error {
			return writeCandidates(c.App.Writer, complete(c.App, c.Args().Slice()))
		},
	}
}

func writeCandidates(w io.Writer, candidates []candidate) error {
	for _, c := range candidates {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", c.value, c.usage); err != nil {
			return err
		}
	}
	return nil
}

// complete returns the candidates for the last of the words. The scripts drop
// those that do not match what is typed already.
func complete(app *cli.App, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	words, current := words[:len(words)-1], words[len(words)-1]
	command := slices.IndexFunc(words, func(word string) bool { return !strings.HasPrefix(word, "-") })
	if command < 0 {
		if strings.HasPrefix(current, "-") {
			return flagCandidates(app.Flags, words)
		}
		return commandCandidates(app.Commands)
	}
	named := app.Command(words[command])
	if named == nil {
		return nil
	}
	words = words[command+1:]
	if len(named.Subcommands) > 0 {
		if len(words) == 0 {
			return slices.Concat(commandCandidates(named.Subcommands), flagCandidates(named.Flags, words))
		}
		i := slices.IndexFunc(named.Subcommands, func(sub *cli.Command) bool { return sub.HasName(words[0]) })
		if i < 0 {
			return nil
		}
		named, words = named.Subcommands[i], words[1:]
	}
	return completeArgument(app, named, words, current)
}

// completeArgument completes a word after the command's name.
func completeArgument(app *cli.App, command *cli.Command, words []string, current string) []candidate {
	var arguments int
	var pending cli.Flag // the flag whose value comes next
	onlyArguments := false
	for _, word := range words {
		switch {
		case pending != nil && word == "=": // bash splits --flag=value in three
		case pending != nil:
			pending = nil
		case onlyArguments || !strings.HasPrefix(word, "-"):
			arguments++
		case word == "--":
			onlyArguments = true
		default:
			pending = flagBeforeValue(command.Flags, word)
		}
	}
	name, _, assigned := strings.Cut(current, "=")
	switch {
	case pending != nil:
		return valueCandidates(pending)
	case !onlyArguments && assigned && strings.HasPrefix(name, "-"):
		return valueCandidates(flagBeforeValue(command.Flags, name))
	case !onlyArguments && strings.HasPrefix(current, "-"):
		return flagCandidates(command.Flags, words)
	case arguments == 0 && command.Name == "help":
		return commandCandidates(app.Commands)
	case arguments == 1 && command.Name == "help":
		if named := app.Command(words[len(words)-1]); named != nil {
			return commandCandidates(named.Subcommands)
		}
		return nil
	case arguments == 0 && alternatives.MatchString(command.ArgsUsage):
		return alternativeCandidates(command.ArgsUsage)
	}
	return flagCandidates(command.Flags, words)
}

func commandCandidates(commands []*cli.Command) []candidate {
	var all []candidate
	for _, command := range commands {
		if !command.Hidden {
			all = append(all, candidate{command.Name, command.Usage})
		}
	}
	return all
}

// flagBeforeValue returns the flag that word names if it takes a value, or nil.
func flagBeforeValue(flags []cli.Flag, word string) cli.Flag {
	name := strings.TrimLeft(word, "-")
	for _, flag := range flags {
		documented, ok := flag.(cli.DocGenerationFlag)
		if ok && documented.TakesValue() && slices.Contains(flag.Names(), name) {
			return flag
		}
	}
	return nil
}

// flagCandidates returns the long names of the flags that may still be given.
func flagCandidates(flags []cli.Flag, words []string) []candidate {
	var all []candidate
	for _, o := range options(flags) {
		given := slices.ContainsFunc(words, func(word string) bool {
			name, _, _ := strings.Cut(word, "=")
			return slices.Contains(o.names, name)
		})
		if !given || o.repeatable {
			all = append(all, candidate{o.names[0], o.usage})
		}
	}
	return all
}

// alternatives matches the name of a value that lists all possible values.
var alternatives = regexp.MustCompile(`^\[?[a-z0-9]+(\|[a-z0-9]+)+\]?$`)

func alternativeCandidates(value string) []candidate {
	var all []candidate
	for alternative := range strings.SplitSeq(strings.Trim(value, "[]"), "|") {
		all = append(all, candidate{value: alternative})
	}
	return all
}

// valueCandidates returns the possible values of a flag, or nil if they are not
// known.
func valueCandidates(flag cli.Flag) []candidate {
	if flag == nil {
		return nil
	}
	value := newOption(flag).value
	switch {
	case alternatives.MatchString(value):
		return alternativeCandidates(value)
	case value == "DIRECTORY":
		return []candidate{anyDirectory}
	case takesFile(flag):
		return []candidate{anyFile}
	}
	return nil
}

func takesFile(flag cli.Flag) bool {
	switch f := flag.(type) {
	case *settingFlag:
		return f.File
	case *cli.StringFlag:
		return f.TakesFile
	}
	return false
}
