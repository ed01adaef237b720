package main

import (
	_ "embed" // for the completion scripts
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
)

//go:embed completion/ssmonitor.bash
var bashCompletion string

//go:embed completion/ssmonitor.zsh
var zshCompletion string

//go:embed completion/ssmonitor.fish
var fishCompletion string

func manualCommand() *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page",
		Description: "The page contains the help of every command, the settings, the files and the formats.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor man | man -l -\n" +
			"   ssmonitor man > /usr/local/share/man/man8/ssmonitor.8",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			_, err := c.App.Writer.Write(manual(c.App))
			return err
		},
	}
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: "Examples:\n\n" +
			"   source <(ssmonitor completion bash)\n" +
			"   ssmonitor completion zsh > ~/.zfunc/_ssmonitor\n" +
			"   ssmonitor completion fish > ~/.config/fish/completions/ssmonitor.fish",
		Action: func(c *cli.Context) error {
			if c.Args().Len() > 1 {
				return unexpected(c, c.Args().Get(1))
			}
			script, err := completionScript(c.Args().First())
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.App.Writer, script)
			return err
		},
	}
}

func completionScript(shell string) (string, error) {
	switch shell {
	case "bash":
		return bashCompletion, nil
	case "zsh":
		return zshCompletion, nil
	case "fish":
		return fishCompletion, nil
	}
	return "", wrongUsage(fmt.Errorf("shell %q: want bash, zsh or fish", shell))
}
