package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// formatDuration returns the duration as people write it: 10m, not 10m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// durationValue is the value of a duration flag whose errors name the remedy.
// The library's says "parse error".
type durationValue struct{ time.Duration }

var _ cli.Generic = (*durationValue)(nil)

// Set parses a value, such as "1m30s".
func (v *durationValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, seconds := time.ParseDuration(text + "s"); seconds == nil {
			return fmt.Errorf("a duration has a unit: write %ss for seconds", text)
		}
		return errors.New("want a duration, such as 500ms, 2s or 1m30s")
	}
	v.Duration = d
	return nil
}

// String returns the value as Set takes it.
func (v *durationValue) String() string { return formatDuration(v.Duration) }

// readableDurations gives every duration flag a durationValue.
func readableDurations(flags []cli.Flag) {
	for i, flag := range flags {
		if d, ok := flag.(*cli.DurationFlag); ok {
			flags[i] = &cli.GenericFlag{
				Name: d.Name, Aliases: d.Aliases, Category: d.Category, EnvVars: d.EnvVars, FilePath: d.FilePath,
				Usage: d.Usage, DefaultText: d.DefaultText, Required: d.Required, Hidden: d.Hidden,
				Value: &durationValue{d.Value},
			}
		}
	}
}
