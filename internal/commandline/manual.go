package commandline

import (
	"slices"
	"strings"
	"text/template"

	"github.com/urfave/cli/v2"
)

// Manual writes a manual in Markdown, with definition lists. Its text is a template about
// the program, to which values that the text names are added.
func Manual(app *cli.App, text string, values map[string]string) (string, error) {
	functions := template.FuncMap{
		"commands": func() []*cli.Command {
			return slices.DeleteFunc(All(app), func(command *cli.Command) bool { return command.Hidden })
		},
		"options":  options,
		"settings": func() []option { return settingsOf(app) },
		"sentence": func(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." },
		// Literal text is indented by four columns in Markdown, by three in the help.
		"literal": func(text string) string { return strings.ReplaceAll(text, "\n   ", "\n    ") },
		"value":   func(name string) string { return values[name] },
	}
	parsed, err := template.New("manual").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var manual strings.Builder
	err = parsed.Execute(&manual, program(app))
	return manual.String(), err
}

// settingsOf returns the options of all commands that have an environment variable, sorted by
// name.
func settingsOf(app *cli.App) (all []option) {
	for _, command := range All(app) {
		for _, o := range options(command.Flags) {
			if len(o.environment) > 0 {
				all = append(all, o)
			}
		}
	}
	byName := func(a, b option) int { return strings.Compare(a.names[0], b.names[0]) }
	slices.SortStableFunc(all, byName)
	return slices.CompactFunc(all, func(a, b option) bool { return byName(a, b) == 0 })
}
