package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// call runs the command line as main does.
func call(t *testing.T, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, failure bytes.Buffer
	status = execute(t.Context(), append([]string{"ssmonitor"}, arguments...), &out, &failure)
	return status, out.String(), failure.String()
}

// TestWrongUsageIsNamed has the cases that need no ruleset to look at; the
// others run the real binary in integration.
func TestWrongUsageIsNamed(t *testing.T) {
	settings := func(text string) []string {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"run", "--config", path}
	}
	tests := []struct {
		name, says string
		arguments  []string
	}{
		{"second argument", `"2" is not expected`, []string{"netdata", "1", "2"}},
		{"seconds", "soon", []string{"netdata", "soon"}},
		{"shell", "expected bash, zsh or fish", []string{"completion", "tcsh"}},
		{"save-interval", "expected 0s to 1h", []string{"run", "--save-interval", "2h"}},
		{"wrong kind of value", "[1:11]", settings("interval: [5s]\n")},
		{"wrong value", `key interval: "soon"`, settings("interval: soon\n")},
		{"no YAML", "[1:", settings("{\n")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := call(t, test.arguments...)
			if status != exitUsage || !strings.Contains(stderr, test.says) || stdout != "" {
				t.Errorf("status %d, said %q and printed %q; expected status 2 and %q", status, stderr, stdout, test.says)
			}
		})
	}
}

func TestPluginsName(t *testing.T) {
	tests := []struct{ called, want []string }{
		{[]string{"/usr/bin/ssmonitor", "run"}, []string{"/usr/bin/ssmonitor", "run"}},
		{[]string{"/x/ssmonitor.plugin"}, []string{"/x/ssmonitor.plugin", "netdata"}},
		{[]string{"ssmonitor.plugin", "2"}, []string{"ssmonitor.plugin", "netdata", "2"}},
		{[]string{"ssmonitor.plugin", "2", "--socket", "/x"}, []string{"ssmonitor.plugin", "netdata", "--socket", "/x", "2"}},
		{[]string{"ssmonitor.plugin", "--help"}, []string{"ssmonitor.plugin", "netdata", "--help"}},
		{nil, nil},
	}
	for _, test := range tests {
		if got := pluginArguments(test.called); !slices.Equal(got, test.want) {
			t.Errorf("%q becomes %q, expected %q", test.called, got, test.want)
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	status, manual, _ := call(t, "man")
	if status != exitDone {
		t.Fatalf("status %d", status)
	}
	for _, command := range newApp(&bytes.Buffer{}, &bytes.Buffer{}).VisibleCommands() {
		if command.Name == "help" {
			continue
		}
		status, help, _ := call(t, command.Name, "--help")
		if status != exitDone || !strings.Contains(help, command.Usage) {
			t.Errorf("%s --help: status %d\n%s", command.Name, status, help)
		}
		if command.Name != "version" && !strings.Contains(help, "Example") {
			t.Errorf("%s --help has no example", command.Name)
		}
		if !strings.Contains(manual, "ssmonitor "+command.Name) {
			t.Errorf("the manual page lacks %s", command.Name)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if status, script, _ := call(t, "completion", shell); status != exitDone || !strings.Contains(script, "ssmonitor") {
			t.Errorf("%s: status %d\n%s", shell, status, script)
		}
	}
}
