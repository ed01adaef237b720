package endtoend_test

import (
	"errors"
	"strings"
	"testing"
)

// TestColorsOnATerminalOnly runs commands on a real terminal and into a pipe.
func TestColorsOnATerminalOnly(t *testing.T) {
	require(t, "script")
	t.Parallel()
	server := newServer(t)
	agent := server.startAgent(t, "--ports", server.list, "--save-interval", "0s")
	server.setup(t, "--port", "20000=alice")
	agent.waitServing(t, 20000)
	server.sendToItself(t, 20000, 10)
	eventually(t, func() error {
		run := begin(t, server.ssmonitor(nil, "usage"))
		run.endsWith(t, 0)
		if !strings.Contains(run.stdout.String(), "alice") {
			agent.mustRun(t)
			return errors.New("no usage is recorded yet")
		}
		return nil
	})
	const escape = "\x1b"
	for _, test := range []struct {
		name, command string
		environment   string
		colored       bool
	}{
		{"usage", "usage", "TERM=xterm", true},
		{"usage without colours", "usage", "NO_COLOR=1", false},
		{"usage on a dumb terminal", "usage", "TERM=dumb", false},
		{"usage as CSV", "usage --format csv", "TERM=xterm", false},
		{"usage as JSON", "usage --json", "TERM=xterm", false},
		{"check", "check --ports " + server.list, "TERM=xterm", false},
		{"setup", "setup --port 20000=alice --ports " + server.list, "TERM=xterm", false},
		{"client list", "client list", "TERM=xterm", false},
		{"help", "--help", "TERM=xterm", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			command := server.ssmonitor([]string{"script", "--quiet", "--command"}, test.command)
			words := command.Args
			typed := strings.Join(words[len(words)-2:], " ") // the program and its arguments
			command.Args = append(words[:len(words)-2:len(words)-2], typed, "/dev/null")
			command.Env = append(command.Env, "NO_COLOR=", test.environment)
			run := start(t, command)
			run.wait(t)
			shown := run.stdout.String()
			if strings.Contains(shown, escape) != test.colored || shown == "" {
				t.Errorf("on a terminal:\n%q", shown)
			}
			// A carriage return ends each line of a terminal and is nowhere else.
			if strings.Contains(strings.ReplaceAll(shown, "\r\n", "\n"), "\r") {
				t.Errorf("progress on a terminal:\n%q", shown)
			}
			piped := begin(t, server.ssmonitor(nil, strings.Fields(test.command)...))
			piped.wait(t)
			if written := piped.stdout.String() + piped.stderr.String(); strings.Contains(written, escape) || strings.Contains(written, "\r") || written == "" {
				t.Errorf("into a pipe:\n%q", written)
			}
		})
	}
	agent.stop(t)
}
