package commandline

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/failure"
)

//go:embed completion
var scripts embed.FS

// Script returns the completion script of a shell.
func Script(shell string) ([]byte, error) {
	script, err := scripts.ReadFile("completion/ssmonitor." + shell)
	if err != nil {
		return nil, failure.Wrong(fmt.Errorf("shell %q: want bash, zsh or fish", shell))
	}
	return script, nil
}

// Candidate is a possible completion of the word at the cursor.
type Candidate struct{ Value, Usage string }

// For these two the completion scripts let the shell complete file names.
var (
	anyFile      = Candidate{Value: ":files"}
	anyDirectory = Candidate{Value: ":directories"}
)

// Complete returns the candidates for the last of the words that follow the program's name,
// which is unfinished. The scripts drop those that do not match what is typed already.
func Complete(app *cli.App, words []string) []Candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	words, current := words[:len(words)-1], words[len(words)-1]
	begin := slices.IndexFunc(words, func(word string) bool { return !strings.HasPrefix(word, "-") })
	switch {
	case begin >= 0:
	case strings.HasPrefix(current, "-"):
		return flagCandidates(options(app.Flags), words)
	default:
		return commandCandidates(program(app))
	}
	command, words := find(app, words[begin:])
	switch {
	case len(command.Subcommands) == 0:
		return completeArgument(app, command, words, current)
	case len(words) == 0:
		return slices.Concat(commandCandidates(command), flagCandidates(options(command.Flags), words))
	}
	return nil // there is no such command
}

// completeArgument completes a word after the command's name.
func completeArgument(app *cli.App, command *cli.Command, words []string, current string) []Candidate {
	all := options(command.Flags)
	var arguments []string
	var pending *option // whose value comes next
	onlyArguments := false
	for _, word := range words {
		switch {
		case pending != nil && word == "=": // bash splits --flag=value in three
		case pending != nil:
			pending = nil
		case onlyArguments || !strings.HasPrefix(word, "-"):
			arguments = append(arguments, word)
		case word == "--":
			onlyArguments = true
		default:
			pending = optionBeforeValue(all, word)
		}
	}
	name, _, assigned := strings.Cut(current, "=")
	switch {
	case pending != nil:
		return valueCandidates(pending)
	case !onlyArguments && assigned && strings.HasPrefix(name, "-"):
		return valueCandidates(optionBeforeValue(all, name))
	case !onlyArguments && strings.HasPrefix(current, "-"):
		return flagCandidates(all, words)
	case command.Name == "help":
		if named, rest := find(app, arguments); len(rest) == 0 {
			return commandCandidates(named)
		}
		return nil
	case len(arguments) == 0 && alternatives.MatchString(command.ArgsUsage):
		return alternativeCandidates(command.ArgsUsage)
	}
	return flagCandidates(all, words)
}

func commandCandidates(parent *cli.Command) (all []Candidate) {
	for _, command := range parent.VisibleCommands() {
		all = append(all, Candidate{command.Name, command.Usage})
	}
	return all
}

// optionBeforeValue returns the option that word names if it takes a value, or nil.
func optionBeforeValue(all []option, word string) *option {
	i := slices.IndexFunc(all, func(o option) bool {
		return o.value != "" && slices.Contains(o.names, dashed(strings.TrimLeft(word, "-")))
	})
	if i < 0 {
		return nil
	}
	return &all[i]
}

// flagCandidates returns the long names of the flags that may still be given.
func flagCandidates(options []option, words []string) (all []Candidate) {
	for _, o := range options {
		given := slices.ContainsFunc(words, func(word string) bool {
			name, _, _ := strings.Cut(word, "=")
			return slices.Contains(o.names, name)
		})
		if !given || o.repeatable {
			all = append(all, Candidate{o.names[0], o.usage})
		}
	}
	return all
}

// alternatives matches the name of a value that lists all possible values.
var alternatives = regexp.MustCompile(`^\[?[a-z0-9]+(\|[a-z0-9]+)+\]?$`)

func alternativeCandidates(value string) (all []Candidate) {
	for alternative := range strings.SplitSeq(strings.Trim(value, "[]"), "|") {
		all = append(all, Candidate{Value: alternative})
	}
	return all
}

// valueCandidates returns what the name of the value says of the possible values.
func valueCandidates(o *option) []Candidate {
	switch {
	case o == nil:
	case alternatives.MatchString(o.value):
		return alternativeCandidates(o.value)
	case o.value == "DIRECTORY":
		return []Candidate{anyDirectory}
	case strings.Contains(o.value, "FILE"):
		return []Candidate{anyFile}
	}
	return nil
}
