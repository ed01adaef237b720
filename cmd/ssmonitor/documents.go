package main

import (
	"bytes"
	_ "embed" // for the completion scripts
	"fmt"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/urfave/cli/v2"
)

//go:embed completion/ssmonitor.bash
var bashCompletion string

//go:embed completion/ssmonitor.zsh
var zshCompletion string

func manualCommand() *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page, made from this help",
		Description: "Examples:\n\n" +
			"   ssmonitor man | man -l -\n" +
			"   ssmonitor man > /usr/local/share/man/man8/ssmonitor.8",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			_, err := c.App.Writer.Write(md2man.Render(manual(c.App)))
			return err
		},
	}
}

// manual writes the page in the Markdown that md2man turns into roff. The
// library's own page leaves the descriptions and examples out.
func manual(app *cli.App) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%% SSMONITOR 8\n\n# NAME\n\nssmonitor - %s\n\n", app.Usage)
	fmt.Fprintf(&b, "# SYNOPSIS\n\n**ssmonitor** *command* [*options*]\n\n# DESCRIPTION\n\n%s\n\n# COMMANDS\n\n", prose(app.Description))
	for _, command := range app.VisibleCommands() {
		if command.Name == "help" {
			continue
		}
		fmt.Fprintf(&b, "## ssmonitor %s %s\n\n%s.\n\n%s\n\n", command.Name, command.ArgsUsage, sentence(command.Usage), prose(command.Description))
		for _, flag := range command.VisibleFlags() {
			// As --help shows it: the flag and its value, a tab, what it does.
			name, usage, _ := strings.Cut(flag.String(), "\t")
			name, _, _ = strings.Cut(name, " [ ") // a repeatable flag is shown twice
			fmt.Fprintf(&b, "**%s**\n: %s\n\n", literal(name), literal(usage))
		}
	}
	fmt.Fprintf(&b, "# FILES\n\n")
	for _, file := range [...]struct{ path, what string }{
		{defaultConfig, "settings: each flag is a key"},
		{defaultList, "the list of ports, written by setup"},
		{defaultState, "the totals"},
		{defaultRuntime, "the CSV file with the rates, and the socket"},
	} {
		fmt.Fprintf(&b, "**%s**\n: %s\n\n", file.path, file.what)
	}
	return b.Bytes()
}

// prose sets the examples of a description, which are indented, as Markdown's
// literal text.
func prose(description string) string {
	lines := strings.Split(description, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "   ") {
			lines[i] = "    " + line
		} else {
			lines[i] = literal(line)
		}
	}
	return strings.Join(lines, "\n")
}

// literal keeps Markdown from taking signs for its own.
func literal(text string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "|", `\|`, "[", `\[`, "]", `\]`).Replace(text)
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: "Examples:\n\n" +
			"   source <(ssmonitor completion bash)\n" +
			"   ssmonitor completion fish > ~/.config/fish/completions/ssmonitor.fish",
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 1 {
				return unexpected(c, c.Args().Get(1))
			}
			script, err := completion(c.App, c.Args().First())
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}

func completion(app *cli.App, shell string) (string, error) {
	switch shell {
	case "bash":
		return bashCompletion, nil
	case "zsh":
		return zshCompletion, nil
	case "fish":
		return app.ToFishCompletion()
	}
	return "", wrongUsage(fmt.Errorf("shell %q: expected bash, zsh or fish", shell))
}
