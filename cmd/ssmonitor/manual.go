package main

import (
	_ "embed" // for the manual
	"fmt"
	"path/filepath"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/urfave/cli/v2"

	"ssmonitor/internal/commandline"
	"ssmonitor/internal/settings"
	"ssmonitor/output/control"
)

//go:embed manual.md
var manualTemplate string

func manualCommand() *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page",
		Description: "The page contains the help of every command, the settings, the files and the formats.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor man | man -l -\n" +
			"   ssmonitor man > /usr/local/share/man/man8/ssmonitor.8",
		Action: func(c *cli.Context) error {
			page, err := manualPage(c.App)
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(page)
			return err
		},
	}
}

// manualPage returns the manual as source for man(7).
func manualPage(app *cli.App) ([]byte, error) {
	title := fmt.Sprintf("%% SSMONITOR 8 %q %q %q\n\n", releaseDate(), "ssmonitor "+version(), "System Manager's Manual")
	text, err := manual(app)
	return md2man.Render([]byte(title + text)), err
}

// manual returns the manual in Markdown.
func manual(app *cli.App) (string, error) {
	return commandline.Manual(app, manualTemplate, map[string]string{
		"settings": settings.DefaultFile, "list": settings.DefaultList, "state": settings.DefaultState, "runtime": settings.DefaultRuntime,
		"csv":     filepath.Join(settings.DefaultRuntime, settings.CSVName),
		"socket":  filepath.Join(settings.DefaultRuntime, settings.SocketName),
		"control": filepath.Join(settings.DefaultRuntime, control.SocketName),
		"group":   settings.Group,
	})
}
