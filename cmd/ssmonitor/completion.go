package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/commandline"
)

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
			if c.NArg() > 1 {
				return commandline.Unexpected(c, c.Args().Get(1))
			}
			script, err := commandline.Script(c.Args().First())
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(script)
			return err
		},
	}
}

// completeCommand is what the completion scripts call: its arguments are the
// words after the program's name up to the cursor, the last one unfinished.
func completeCommand() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, SkipFlagParsing: true,
		Usage: "print what can follow, for completion scripts",
		Action: func(c *cli.Context) error {
			for _, candidate := range commandline.Complete(c.App, c.Args().Slice()) {
				fmt.Fprintf(c.App.Writer, "%s\t%s\n", candidate.Value, candidate.Usage)
			}
			return nil
		},
	}
}
