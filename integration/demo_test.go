package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// demoOfTest marks the demo's processes by their environment.
const demoOfTest = "SSMONITOR_TEST_DEMO"

// demoWords is the command line of the demo.
func demoWords(arguments ...string) []string {
	return append([]string{builtProgram("demo"), "--ssmonitor", builtProgram("ssmonitor")}, arguments...)
}

// demoCommand prepares the demo in a namespace that stands for the host. The
// mark distinguishes its processes and all their descendants from others.
func demoCommand(n namespace, mark string, words []string) *exec.Cmd {
	command := n.command(words[0], words[1:]...)
	command.Env = append(os.Environ(), demoOfTest+"="+mark)
	return command
}

func TestDemoShowsRatesAndLeavesNothing(t *testing.T) {
	require(t)
	t.Parallel()
	host, mark := newNamespace(t), randomName()
	demo := start(t, demoCommand(host, mark, demoWords("--duration", "4s")))
	demo.waitShowing(t, "alice")
	if ruleset := host.ruleset(t); ruleset != "" {
		t.Errorf("the demo made in the host's namespace:\n%s", ruleset)
	}
	demo.endsWith(t, 0)
	shown := demo.stdout.String()
	if tables := strings.Count(shown, "alice"); tables < 3 {
		t.Errorf("%d tables in 4 seconds:\n%s", tables, shown)
	}
	if strings.Contains(shown, "\x1b") {
		t.Errorf("the demo writes for a terminal where there is none:\n%q", shown)
	}
	_, csv, _ := strings.Cut(shown, "$ cat ")
	_, csv, _ = strings.Cut(csv, "\n")
	csv, _, _ = strings.Cut(csv, "(")
	rows, err := parseCSV(csv)
	if err != nil {
		t.Fatal(err)
	}
	var ports []int
	for _, row := range rows {
		ports = append(ports, row.port)
		if row.bytesIn < 1000 || row.bytesOut < 1000 || row.packetsIn < 1 || row.packetsOut < 1 {
			t.Errorf("the CSV shows no traffic of port %d: %+v", row.port, row)
		}
	}
	if !slices.Equal(ports, []int{20000, 20001, 20002}) {
		t.Errorf("the CSV has the ports %v", ports)
	}
	host.hasNothingOf(t, mark)
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	require(t)
	t.Parallel()
	tests := []struct {
		name      string
		interrupt func(t *testing.T, demo *program)
		status    int
	}{
		{"Ctrl-C", func(t *testing.T, demo *program) {
			// The terminal sends it to the whole process group.
			if err := syscall.Kill(-demo.command.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}, 130},
		{"SIGTERM", func(_ *testing.T, demo *program) { demo.signal(syscall.SIGTERM) }, 130},
		{"SIGKILL", func(_ *testing.T, demo *program) { demo.signal(syscall.SIGKILL) }, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			host, mark := newNamespace(t), randomName()
			command := demoCommand(host, mark, demoWords("--duration", "1m"))
			command.SysProcAttr.Setpgid = true
			demo := start(t, command)
			demo.waitShowing(t, "alice")
			test.interrupt(t, demo)
			demo.endsWith(t, test.status)
			host.hasNothingOf(t, mark)
		})
	}
}

func TestDemoDrawsInPlaceOnATerminal(t *testing.T) {
	require(t, "script")
	t.Parallel()
	typed := strings.Join(demoWords("--duration", "3s"), " ")
	demo := newNamespace(t).start(t, "script", "--quiet", "--return", "--command", typed, "/dev/null")
	demo.endsWith(t, 0)
	if shown := demo.stdout.String(); !strings.Contains(shown, "\x1b[") {
		t.Errorf("nothing is drawn in place:\n%q", shown)
	}
}

func TestDemoNeedsRootAndABinary(t *testing.T) {
	require(t, "setpriv")
	t.Parallel()
	host := newNamespace(t)
	start(t, demoCommand(host, "", append(asNobody(""), demoWords()...))).endsWith(t, 1, "root")
	missing := filepath.Join(t.TempDir(), "ssmonitor")
	start(t, demoCommand(host, "", demoWords("--ssmonitor", missing))).endsWith(t, 1, missing, "make build")
	start(t, demoCommand(host, "", demoWords("superfluous"))).endsWith(t, 2, "duration")
}

// waitShowing waits until the program has written the text.
func (p *program) waitShowing(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() error {
		if !strings.Contains(p.stdout.String(), text) {
			return fmt.Errorf("%s does not show %q but:\n%s\n%s", p, text, &p.stdout, &p.stderr)
		}
		return nil
	})
}

// hasNothingOf checks that no process of the demo is left, so that its namespace
// no longer exists, and that nothing changed in the host's namespace.
func (n namespace) hasNothingOf(t *testing.T, mark string) {
	t.Helper()
	eventually(t, func() error {
		environments, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			return err
		}
		for _, path := range environments {
			content, err := os.ReadFile(path) // fails for processes that just ended
			if err == nil && bytes.Contains(content, []byte(demoOfTest+"="+mark)) {
				return fmt.Errorf("the process of %s is left", path)
			}
		}
		return nil
	})
	if ruleset := n.ruleset(t); ruleset != "" {
		t.Errorf("the demo left in the host's namespace:\n%s", ruleset)
	}
	if _, err := os.Stat("/run/ssmonitor-demo"); err == nil {
		t.Error("the demo left its directory")
	}
}
