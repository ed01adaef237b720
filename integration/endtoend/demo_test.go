package endtoend_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

func TestDemoShowsTrafficAndLeavesNothing(t *testing.T) {
	t.Parallel()
	host, mark := newNamespace(t), randomName()
	demo := start(t, demoCommand(host, mark, demoWords("--duration", "1s")))
	demo.waitShowing(t, "alice")
	host.expectNoRuleset(t, "in the host's namespace")
	demo.endsWith(t, 0)
	shown := demo.stdout.String()
	if strings.Contains(shown, "\x1b") {
		t.Errorf("the demo writes for a terminal where there is none:\n%q", shown)
	}
	_, table, _ := strings.Cut(shown, "$ ssmonitor top ")
	table, records, _ := strings.Cut(table, "$ ssmonitor usage ")
	for _, client := range []string{"alice", "bob", "carol"} {
		busy := regexp.MustCompile(client + ` +\d+\.\d+ [kM]B +\d+\.\d+ [kM]B `)
		if !busy.MatchString(table) || !busy.MatchString(records) {
			t.Errorf("no traffic of %s in the table and the usage:\n%s", client, shown)
		}
	}
	host.hasNothingOf(t, mark)
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
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
			demo.waitShowing(t, "talks over")
			test.interrupt(t, demo)
			demo.endsWith(t, test.status)
			host.hasNothingOf(t, mark)
		})
	}
}

func TestDemoPlaysASessionOnATerminal(t *testing.T) {
	require(t, "tmux")
	t.Parallel()
	term := newTerminal(t, newServer(t), 100, 60)
	before := term.state(t)
	term.run(t, strings.Join(demoWords("--duration", "4s"), " ")+"; echo ended with $?")
	term.waitShowing(t, "ssmonitor top", "by rate", "q quit")
	term.waitShowing(t, "PROTOCOL", "HOUR") // the view of one client
	term.waitShowing(t, "by in", "q quit")
	term.waitShowing(t, "$ ssmonitor usage", "3 clients", "the host was not touched", "ended with 0")
	if after := term.state(t); after != before {
		t.Errorf("the terminal is\n%s\nand was\n%s", after, before)
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
	n.expectNoRuleset(t, "in the host's namespace")
	if _, err := os.Stat("/run/ssmonitor-demo"); err == nil {
		t.Error("the demo left its directory")
	}
}
