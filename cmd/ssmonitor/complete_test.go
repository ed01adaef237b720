package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

func TestComplete(t *testing.T) {
	tests := []struct {
		name    string
		words   []string // the last one is at the cursor
		has, no []string
	}{
		{"commands", []string{""}, []string{"setup", "check", "help"}, []string{"__complete", "--version"}},
		{"program's flags", []string{"-"}, []string{"--version", "--help"}, []string{"setup"}},
		{"flags", []string{"setup", "--"}, []string{"--dry-run", "--port", "--help"}, []string{"--interval"}},
		{"flags where no argument can be", []string{"setup", ""}, []string{"--dry-run"}, []string{"setup"}},
		{"flag given", []string{"setup", "--dry-run", "--"}, []string{"--port"}, []string{"--dry-run"}},
		{"flag given with its value", []string{"setup", "--hook=host", "--"}, []string{"--port"}, []string{"--hook"}},
		{"repeatable flag given", []string{"setup", "--port", "1", "--"}, []string{"--port"}, nil},
		{"subcommands", []string{"client", ""}, []string{"list", "new", "--help"}, []string{"--state", "setup"}},
		{"flags of a subcommand", []string{"client", "new", "--"}, []string{"--state", "--config"}, []string{"list", "--port"}},
		{"values of a subcommand's flag", []string{"client", "list", "--state", ""}, []string{":directories"}, []string{"--config"}},
		{"flag of a subcommand given", []string{"client", "list", "--state", "x", "--"}, []string{"--config"}, []string{"--state"}},
		{"unknown subcommand", []string{"client", "old", ""}, nil, []string{"list", "--state", "--help"}},
		{"help", []string{"help", ""}, []string{"client", "setup", "completion"}, []string{"list", "--help"}},
		{"help of a subcommand", []string{"help", "client", ""}, []string{"list", "new"}, []string{"setup"}},
		{"help of a command without subcommands", []string{"help", "setup", ""}, nil, []string{"setup", "--port", "list"}},
		{"values", []string{"run", "--hook", ""}, []string{"host", "container"}, []string{"--port"}},
		{"values of own", []string{"run", "--own", "a"}, []string{"no", "auto", "yes"}, []string{":files"}},
		{"values after =", []string{"run", "--hook="}, []string{"host", "container"}, []string{"--port"}},
		{"values after bash's =", []string{"run", "--hook", "=", "c"}, []string{"host", "container"}, []string{"--port"}},
		{"after a value", []string{"run", "--hook", "host", "--"}, []string{"--own"}, []string{"host"}},
		{"after bash's = and a value", []string{"run", "--hook", "=", "host", "--"}, []string{"--own"}, []string{"host"}},
		{"file", []string{"run", "--csv", ""}, []string{":files"}, []string{"--port"}},
		{"file or directory", []string{"setup", "--shadowsocks", "/etc"}, []string{":files"}, []string{"--port"}},
		{"directory", []string{"run", "--state", ""}, []string{":directories"}, []string{":files"}},
		{"value that can't be known", []string{"setup", "--port", ""}, nil, []string{"--own", ":files", "setup"}},
		{"shells", []string{"completion", ""}, []string{"bash", "zsh", "fish"}, []string{"--help"}},
		{"a second shell", []string{"completion", "zsh", ""}, nil, []string{"bash"}},
		{"unknown command", []string{"sttup", "--"}, nil, []string{"--port", "--help"}},
		{"nothing typed", nil, []string{"setup"}, nil},
		{"after the end of flags", []string{"setup", "--", ""}, nil, []string{"setup"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			_, candidates, _ := call(t, append([]string{"__complete"}, test.words...)...)
			for line := range strings.Lines(candidates) {
				value, _, _ := strings.Cut(line, "\t")
				got = append(got, value)
			}
			for _, want := range test.has {
				if !slices.Contains(got, want) {
					t.Errorf("got %q, want %q among them", got, want)
				}
			}
			for _, unwanted := range test.no {
				if slices.Contains(got, unwanted) {
					t.Errorf("got %q, do not want %q", got, unwanted)
				}
			}
		})
	}
}

// shell is a real shell with the completion loaded and a directory with the
// file "first file.json" and the directory "second".
type shell struct {
	directory string
	start     []string // what starts it, to be fed with keys on a terminal
	lines     string   // what loads the completion
}

func newShell(t *testing.T, start []string, script, lines string) shell {
	t.Helper()
	testkit.Require(t, start[0], "script")
	s := shell{directory: t.TempDir(), start: start, lines: lines}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.directory, "work", "second"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(s.directory, "ssmonitor")); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{"work/first file.json": "", script: scriptOf(t, start[0])} {
		testkit.WriteFile(t, filepath.Join(s.directory, path), content)
	}
	return s
}

func scriptOf(t *testing.T, name string) string {
	t.Helper()
	status, script, stderr := call(t, "completion", name)
	if status != exitDone {
		t.Fatalf("completion %s: status %d, %s", name, status, stderr)
	}
	return script
}

func (s shell) command(name string, arguments ...string) *exec.Cmd {
	command := exec.Command(name, arguments...)
	command.Dir = filepath.Join(s.directory, "work")
	command.Env = []string{"PATH=" + s.directory + ":" + os.Getenv("PATH"), "HOME=" + s.directory, "TERM=xterm", "LC_ALL=C.UTF-8",
		"HISTFILE=", "DIRECTORY=" + s.directory}
	return command
}

// typed returns what the shell's terminal shows when the keys are typed after
// the completion was loaded.
func (s shell) typed(t *testing.T, keys, want string) {
	t.Helper()
	command := s.command("script", "--quiet", "--command", strings.Join(s.start, " "), "/dev/null")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	terminal := &screen{changed: make(chan struct{}, 1)}
	command.Stdout, command.Stderr = terminal, terminal
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = input.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	// The shell echoes what is typed; only what it prints has ready and 42.
	_, _ = io.WriteString(input, s.lines+"echo ready$((6*7))\n")
	terminal.wait(t, "ready42\r\n")
	_, _ = io.WriteString(input, keys)
	terminal.wait(t, want)
}

// screen keeps what was written to a terminal.
type screen struct {
	mutex   sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (s *screen) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.String()
}

// Write adds to the screen.
func (s *screen) Write(data []byte) (int, error) {
	s.mutex.Lock()
	s.text.Write(data)
	s.mutex.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(data), nil
}

func (s *screen) wait(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(s.String(), want) {
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("the terminal does not show %q but:\n%q", want, s.String())
		}
	}
}

func TestCompletionInBash(t *testing.T) {
	s := newShell(t, []string{"bash", "--norc", "--noprofile", "-i"}, "bash.sh",
		"bind 'set bell-style none'; bind 'set completion-query-items 0'; bind 'set page-completions off'; "+
			"bind 'set enable-bracketed-paste off'; PS1='> '; source $DIRECTORY/bash.sh\n")
	tests := []struct{ name, keys, want string }{
		{"command", "ssmonitor comp\t", "ssmonitor completion "},
		{"flags", "ssmonitor setup --\t\t", "--dry-run"},
		{"flag", "ssmonitor setup --dr\t", "setup --dry-run "},
		{"value", "ssmonitor run --hook cont\t", "--hook container "},
		{"value after =", "ssmonitor run --hook=cont\t", "--hook=container "},
		{"shell", "ssmonitor completion f\t", "completion fish "},
		{"file", "ssmonitor setup --shadowsocks fi\t", `--shadowsocks first\ file.json `},
		{"directory", "ssmonitor run --state \t", "--state second/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { s.typed(t, test.keys, test.want) })
	}
}

func TestCompletionInZsh(t *testing.T) {
	for _, load := range []struct{ name, lines string }{
		{"installed", "fpath=($DIRECTORY $fpath); autoload -U compinit; compinit -u -D\n"},
		{"sourced", "autoload -U compinit; compinit -u -D; source $DIRECTORY/_ssmonitor\n"},
	} {
		s := newShell(t, []string{"zsh", "-f", "-i"}, "_ssmonitor",
			"unsetopt prompt_sp; unset zle_bracketed_paste; PS1='> '; "+load.lines)
		tests := []struct{ name, keys, want string }{
			{"command", "ssmonitor comp\t", "letion"},
			{"flags", "ssmonitor setup --\t", "print the list, as comments"},
			{"flag", "ssmonitor setup --dr\t", "y-run"},
			{"value", "ssmonitor run --hook cont\t", "ainer"},
			{"value after =", "ssmonitor run --hook=cont\t", "ainer"},
			{"shell", "ssmonitor completion f\t", "ish"},
			{"file", "ssmonitor setup --shadowsocks fi\t", `rst\ file.json`},
			{"file after =", "ssmonitor setup --shadowsocks=fi\t", `rst\ file.json`},
			{"directory", "ssmonitor run --state s\t", "econd"},
		}
		if load.name == "sourced" {
			tests = tests[:2]
		}
		for _, test := range tests {
			t.Run(load.name+"/"+test.name, func(t *testing.T) { s.typed(t, test.keys, test.want) })
		}
	}
}

func TestCompletionInFish(t *testing.T) {
	s := newShell(t, []string{"fish", "--no-config"}, "ssmonitor.fish", "")
	tests := []struct{ name, line, want string }{
		{"command", "ssmonitor comp", "completion\tprint the completion script of a shell\n"},
		{"flags", "ssmonitor setup --", "--dry-run\tprint the list, as comments"},
		{"value", "ssmonitor run --hook cont", "container\t\n"},
		{"value after =", "ssmonitor run --hook=cont", "--hook=container\t\n"},
		{"shell", "ssmonitor completion f", "fish\t\n"},
		{"file", "ssmonitor setup --shadowsocks fi", "first file.json"},
		{"file after =", "ssmonitor setup --shadowsocks=fi", "--shadowsocks=first file.json"},
		{"directory", "ssmonitor run --state ", "second/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			command := s.command("fish", "--no-config", "--command",
				"source $DIRECTORY/ssmonitor.fish; complete --do-complete $argv[1]", test.line)
			output, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			for _, line := range strings.SplitAfter(string(output), "\n") {
				if strings.HasPrefix(line, test.want) || strings.TrimSpace(line) == strings.TrimSpace(test.want) {
					return
				}
			}
			t.Errorf("fish offers\n%s\nwant %q", output, test.want)
		})
	}
}
