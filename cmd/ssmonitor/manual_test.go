package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
)

// requireProgram skips the test if the program is missing, or fails it with
// CI=true.
func requireProgram(t *testing.T, name, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		testkit.Missing(t, "%s is missing: apt-get install %s", name, debianPackage)
	}
}

// manualFile writes the page of a release to a file.
func manualFile(t *testing.T) string {
	t.Helper()
	oldRelease, oldReleased := release, released
	release, released = "1.2.3", "2026-11-24"
	t.Cleanup(func() { release, released = oldRelease, oldReleased })
	path := filepath.Join(t.TempDir(), "ssmonitor.8")
	if err := os.WriteFile(path, manual(newApp(io.Discard, io.Discard, openSavedHistory)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestManualIsSound(t *testing.T) {
	path := manualFile(t)
	tests := []struct {
		debianPackage string
		command       []string
		quietOutput   bool // the output is complaints
	}{
		{"mandoc", []string{"mandoc", "-T", "lint", path}, true},
		{"groff-base", []string{"groff", "-ww", "-man", "-T", "utf8", "-z", path}, true},
		{"man-db", []string{"man", "--warnings", "-l", path}, false},
	}
	for _, test := range tests {
		t.Run(test.command[0], func(t *testing.T) {
			requireProgram(t, test.command[0], test.debianPackage)
			command := exec.Command(test.command[0], test.command[1:]...)
			command.Env = append(os.Environ(), "MANWIDTH=80", "MANPAGER=cat", "LC_ALL=C.UTF-8")
			var stdout, stderr bytes.Buffer
			command.Stdout, command.Stderr = &stdout, &stderr
			if err := command.Run(); err != nil || stderr.Len() > 0 || test.quietOutput && stdout.Len() > 0 {
				t.Errorf("%v\n%s\n%s", err, &stdout, &stderr)
			}
		})
	}
}

func TestManualIsComplete(t *testing.T) {
	requireProgram(t, "mandoc", "mandoc")
	output, err := exec.Command("mandoc", "-T", "ascii", "-O", "width=80", manualFile(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	// mandoc prints bold letters by overstriking: letter, backspace, letter.
	var plain strings.Builder
	for i, r := range string(output) {
		if r != '\b' && !strings.HasPrefix(string(output)[i+1:], "\b") {
			plain.WriteRune(r)
		}
	}
	text := plain.String()
	for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "CONFIGURATION", "FORMATS",
		"ENVIRONMENT", "FILES", "EXIT STATUS", "SEE ALSO"} {
		if !strings.Contains(text, "\n"+section+"\n") {
			t.Errorf("the manual has no section %s", section)
		}
	}
	for _, want := range []string{"ssmonitor 1.2.3", "2026-11-24", "20000,12.500,14.000,1834.221,98211.007", "Winston Yin",
		"GET /v1/ports", "interval: 5s\n", "nft(8)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the manual lacks %q", want)
		}
	}
	for _, key := range settings.All() {
		if !strings.Contains(text, "\n       "+key.Name+": ") {
			t.Errorf("the manual lacks the setting %s", key.Name)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestReadmeIsComplete finds every flag, environment variable and setting in the README,
// and in its list of places none that is not searched.
func TestReadmeIsComplete(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	// A flag begins a code span; a space or the end of the span follows.
	mentions := func(flag string) bool {
		return regexp.MustCompile("`--" + regexp.QuoteMeta(flag) + "[ `]").MatchString(text)
	}
	var inspect func(commands []*cli.Command)
	inspect = func(commands []*cli.Command) {
		for _, command := range commands {
			if command.Hidden {
				continue
			}
			if !strings.Contains(text, command.Name) {
				t.Errorf("the README lacks the command %s", command.Name)
			}
			for _, flag := range command.Flags {
				if name := flag.Names()[0]; !mentions(name) {
					t.Errorf("the README lacks the flag --%s of %s", name, command.FullName())
				}
				documented, ok := flag.(cli.DocGenerationFlag)
				if !ok {
					continue
				}
				for _, variable := range documented.GetEnvVars() {
					if !strings.Contains(text, "`"+variable+"`") {
						t.Errorf("the README lacks the variable %s of %s", variable, command.FullName())
					}
				}
			}
			inspect(command.Subcommands)
		}
	}
	app := newApp(io.Discard, io.Discard, openSavedHistory)
	app.Setup()
	inspect(app.Commands)
	_, places, _ := strings.Cut(text, "install scripts put them, such as:\n\n")
	places, _, found := strings.Cut(places, "\n\n")
	for place := range strings.FieldsSeq(places) {
		if !slices.Contains(shadowsocks.UsualPlaces(), place) {
			t.Errorf("the README has %s, which is no usual place", place)
		}
	}
	if !found || !strings.Contains(text, "(integration/places.md)") {
		t.Error("the README lacks the usual places")
	}
}
