package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/commandline"
	"ssmonitor/internal/settings"
)

// call runs the command line as main does.
func call(t *testing.T, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, failure bytes.Buffer
	status = execute(t.Context(), append([]string{"ssmonitor"}, arguments...), &out, &failure)
	return status, out.String(), failure.String()
}

// TestWrongUsageIsNamed has the cases that don't look at the ruleset. The others
// run the real binary in package integration.
func TestWrongUsageIsNamed(t *testing.T) {
	fromFile := func(text string) []string {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"run", "--config", path}
	}
	tests := []struct {
		name, want string
		arguments  []string
	}{
		{"second argument", `"2" is not expected`, []string{"netdata", "1", "2"}},
		{"following without a change", "--follow excludes --dry-run and --json", []string{"setup", "--follow", "--dry-run"}},
		{"following as JSON", "--follow excludes --dry-run and --json", []string{"setup", "--follow", "--json"}},
		{"seconds", "soon", []string{"netdata", "soon"}},
		{"shell", "want bash, zsh or fish", []string{"completion", "tcsh"}},
		{"save-interval", "want 0s to 1h", []string{"run", "--save-interval", "2h"}},
		{"wrong kind of value", "line 1, column 11: want a text", fromFile("interval: [5s]\n")},
		{"wrong value", "line 1, column 11: key interval: want a duration", fromFile("interval: soon\n")},
		{"no YAML", "line 1, column ", fromFile("{\n")},
		{"interval without unit in a file", "key interval: want a duration with its unit", fromFile("interval: 5\n")},
		{"interval without unit", "write 5s for seconds", []string{"run", "--interval", "5"}},
		{"interval with another unit", "want a duration with its unit", []string{"run", "--interval", "5 seconds"}},
		{"mistyped command", `no command "sttup" (did you mean setup?)`, []string{"sttup"}},
		{"help of a mistyped command", `no command "sttup" (did you mean setup?)`, []string{"help", "sttup"}},
		{"unlike any command", `no command "xyzzy": see ssmonitor --help`, []string{"xyzzy"}},
		{"help of two commands", `"run" is not expected`, []string{"help", "setup", "run"}},
		{"mistyped flag", "no flag --prot (did you mean --port?): see ssmonitor setup --help", []string{"setup", "--prot", "1"}},
		{"mistyped flag before the command", "no flag --vversion (did you mean --version?)", []string{"--vversion"}},
		{"unlike any flag", "no flag --xyzzy: see ssmonitor run --help", []string{"run", "--xyzzy"}},
		{"mistyped subcommand", `no command "client lst" (did you mean list?): see ssmonitor client --help`, []string{"client", "lst"}},
		{"help of a mistyped subcommand", `no command "client lst" (did you mean list?): see ssmonitor client --help`, []string{"help", "client", "lst"}},
		{"help of two subcommands", `"new" is not expected here: see ssmonitor help --help`, []string{"help", "client", "list", "new"}},
		{"mistyped flag of a subcommand", "ssmonitor client list has no flag --stat (did you mean --state?): see ssmonitor client list --help", []string{"client", "list", "--stat"}},
		{"argument of a subcommand", `"x" is not expected here: see ssmonitor client list --help`, []string{"client", "list", "x"}},
		{"two formats", "--json and --format csv exclude each other", []string{"usage", "--json", "--format", "csv"}},
		{"unlike any short flag", "no flag -x: see ssmonitor run --help", []string{"run", "-x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := call(t, test.arguments...)
			if status != exitUsage || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("got status %d, %q on stderr and %q on stdout, want status 2 and %q", status, stderr, stdout, test.want)
			}
		})
	}
}

func TestPluginNameSelectsTheSubcommand(t *testing.T) {
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
			t.Errorf("%q: got %q, want %q", test.called, got, test.want)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	status, manual, _ := call(t, "man")
	if status != exitDone {
		t.Fatalf("status %d", status)
	}
	var named []string
	for _, command := range commandline.All(newApp(&bytes.Buffer{}, &bytes.Buffer{}, openSavedHistory)) {
		if command.Hidden || command.Name == "help" {
			continue
		}
		named = append(named, command.HelpName)
		words := strings.Fields(command.HelpName)[1:]
		status, help, stderr := call(t, append(words, "--help")...)
		if status != exitDone || stderr != "" || !strings.HasPrefix(help, "NAME:\n   "+command.HelpName+" - ") ||
			!strings.Contains(strings.Join(strings.Fields(help), " "), command.Usage) {
			t.Errorf("%s --help: got status %d, %q and\n%s", command.HelpName, status, stderr, help)
		}
		if command.Name != "version" && !strings.Contains(help, "Example") {
			t.Errorf("%s --help has no example", command.HelpName)
		}
		if _, same, _ := call(t, append([]string{"help"}, words...)...); same != help {
			t.Errorf("help of %s differs from --help:\n%s", command.HelpName, same)
		}
		if !strings.Contains(manual, "\n.SS "+command.HelpName) {
			t.Errorf("the manual page lacks %s", command.HelpName)
		}
	}
	if strings.Contains(manual, "__complete") || strings.Contains(manual, `\_\_complete`) {
		t.Error("the manual page has a hidden command")
	}
	if !slices.Contains(named, "ssmonitor client new") || !slices.Contains(named, "ssmonitor client list") {
		t.Errorf("the subcommands are missing in %q", named)
	}
	if _, bare, _ := call(t, "client"); !strings.Contains(bare, "ssmonitor client COMMAND [OPTION]...") || !strings.Contains(bare, "\n   new ") {
		t.Errorf("client without a subcommand prints\n%s", bare)
	}
}

func TestVersion(t *testing.T) {
	_, want, _ := call(t, "version")
	if !strings.HasPrefix(want, "ssmonitor ") {
		t.Errorf("version: got %q", want)
	}
	for _, arguments := range [][]string{{"--version"}, {"-v"}, {"--version", "run"}} {
		if status, got, stderr := call(t, arguments...); status != exitDone || got != want || stderr != "" {
			t.Errorf("%q: got status %d, %q and %q, want %q", arguments, status, got, stderr, want)
		}
	}
}

// TestFullDisk writes to /dev/full.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	for _, arguments := range [][]string{{}, {"--help"}, {"setup", "--help"}, {"help", "run"}, {"--version"}, {"version"}, {"man"},
		{"completion", "bash"}, {"setup", "--config", "none", "--port", "20000", "--dry-run"}} {
		var stderr bytes.Buffer
		status := execute(t.Context(), append([]string{"ssmonitor"}, arguments...), full, &stderr)
		if status != exitFailed || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%q: got status %d and %q, want status 1 and no space left", arguments, status, &stderr)
		}
	}
}

// fullOnce is a disk that is full at the first write.
type fullOnce struct{ full bool }

func (w *fullOnce) Write(data []byte) (int, error) {
	if !w.full {
		w.full = true
		return 0, syscall.ENOSPC
	}
	return len(data), nil
}

// TestWriteAfterAFailedOne prints to a disk that has room again before the end.
func TestWriteAfterAFailedOne(t *testing.T) {
	out := &checkedWriter{Writer: &fullOnce{}}
	var stderr bytes.Buffer
	_, _ = out.Write([]byte("lost\n"))
	if _, err := out.Write([]byte("written\n")); err != nil {
		t.Fatal(err)
	}
	if status := exitStatus(nil, out, &stderr); status != exitFailed || !strings.Contains(stderr.String(), syscall.ENOSPC.Error()) {
		t.Errorf("got status %d and %q, want status 1 and %v", status, &stderr, syscall.ENOSPC)
	}
}

func TestNoSettingsFile(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSMONITOR_CONFIG", broken)
	dryRun := []string{"setup", "--port", "20000", "--dry-run"}
	if status, _, stderr := call(t, dryRun...); status != exitUsage {
		t.Errorf("broken settings: got status %d and %q", status, stderr)
	}
	if status, ruleset, stderr := call(t, append(dryRun, "--config", "none")...); status != exitDone || ruleset == "" {
		t.Errorf("--config none: got status %d and %q", status, stderr)
	}
}

// TestEveryKeyIsAFlag finds each key of the settings among the flags of the commands.
func TestEveryKeyIsAFlag(t *testing.T) {
	flags := make(map[string]bool)
	for _, command := range commandline.All(newApp(io.Discard, io.Discard, openSavedHistory)) {
		for _, option := range command.Flags {
			if own, ok := option.(*settingFlag); ok {
				flags[own.Name] = true
			}
		}
	}
	for _, key := range append(settings.All(), settings.Config) {
		if !flags[key.Name] {
			t.Errorf("no command has a flag for the key %s", key.Name)
		}
	}
}
