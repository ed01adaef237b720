package main

import (
	"github.com/urfave/cli/v2"

	"ssmonitor/internal/commandline"
)

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Aliases:   []string{"h"},
		Usage:     "print the help of a command",
		ArgsUsage: "[COMMAND]...",
		Description: "Examples:\n\n" +
			"   ssmonitor help setup\n" +
			"   ssmonitor help client new",
		Action: commandline.Help,
	}
}
