package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
)

// manualFile writes the page of a release to a file.
func manualFile(t *testing.T) string {
	t.Helper()
	oldRelease, oldReleased := release, released
	release, released = "1.2.3", "2026-11-24"
	t.Cleanup(func() { release, released = oldRelease, oldReleased })
	path := filepath.Join(t.TempDir(), "ssmonitor.8")
	_, page, _ := call(t, "man")
	testkit.WriteFile(t, path, page)
	return path
}

func TestManualIsSound(t *testing.T) {
	path := manualFile(t)
	tests := []struct {
		command     []string
		quietOutput bool // the output is complaints
	}{
		{[]string{"mandoc", "-T", "lint", "-W", "warning", path}, true},
		{[]string{"groff", "-ww", "-man", "-T", "utf8", "-z", path}, true},
		{[]string{"man", "--warnings", "-l", path}, false},
	}
	for _, test := range tests {
		t.Run(test.command[0], func(t *testing.T) {
			testkit.Require(t, test.command[0])
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

// TestManualIsComplete looks at the page as a terminal shows it. What its sections say is in
// the golden file of TestManualOnTheWeb.
func TestManualIsComplete(t *testing.T) {
	testkit.Require(t, "mandoc")
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
	for _, want := range []string{"ssmonitor 1.2.3", "2026-11-24", "interval: 5s\n"} {
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

// TestManualOnTheWeb compares the page that the README links with the manual; -update
// writes it.
func TestManualOnTheWeb(t *testing.T) {
	const path = "../../integration/manual.md"
	text, err := manual(newApp(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	want := "# ssmonitor(8)\n\n" + text
	if testkit.Updating() {
		testkit.WriteFile(t, path, want)
	}
	if diff := cmp.Diff(want, testkit.ReadFile(t, path)); diff != "" {
		t.Errorf("run go test ./cmd/ssmonitor -run TestManualOnTheWeb -update:\n%s", diff)
	}
}

// TestReadmeIsAnEntrance keeps it short. It names every command that people run.
func TestReadmeIsAnEntrance(t *testing.T) {
	text := testkit.ReadFile(t, "../../README.md")
	if words := len(strings.Fields(text)); words > 1500 {
		t.Errorf("the README has %d words, want at most 1,500", words)
	}
	for _, command := range []string{"setup", "run", "usage", "top", "check", "client new"} {
		if !strings.Contains(text, "ssmonitor "+command) {
			t.Errorf("the README lacks ssmonitor %s", command)
		}
	}
	for _, page := range []string{"accounting", "nft", "output", "integration"} {
		if !strings.Contains(text, "("+page+"/README.md") {
			t.Errorf("the README does not link the page of %s", page)
		}
	}
}
