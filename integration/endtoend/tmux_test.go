package endtoend_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// terminal is a shell in a tmux of its own.
type terminal struct {
	product
	socket string
}

// newTerminal starts a shell in a terminal of that size.
func newTerminal(t *testing.T, p product, width, height int) terminal {
	t.Helper()
	term := terminal{p, filepath.Join(t.TempDir(), "tmux")}
	term.tmux(t, "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "sh")
	term.waitShowing(t, "#") // root's prompt
	return term
}

func (term terminal) command(arguments ...string) *exec.Cmd {
	command := term.ssmonitor(nil)
	words := append([]string{"tmux", "-f", "/dev/null", "-S", term.socket}, arguments...)
	command.Args = append(command.Args[:len(command.Args)-1], words...) // in place of ssmonitor
	command.Env = append(command.Env, "LC_ALL=C.UTF-8", "NO_COLOR=")
	// The server outlives the command that starts it.
	command.SysProcAttr = nil
	return command
}

func (term terminal) tmux(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := term.command(arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("tmux %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// press sends keys by tmux's names for them, or text.
func (term terminal) press(t *testing.T, keys ...string) {
	t.Helper()
	term.tmux(t, append([]string{"send-keys"}, keys...)...)
}

// run types a command line.
func (term terminal) run(t *testing.T, line string) {
	t.Helper()
	term.tmux(t, "send-keys", "-l", line)
	term.press(t, "Enter")
}

// top starts ssmonitor top.
func (term terminal) top(t *testing.T, arguments ...string) {
	t.Helper()
	term.run(t, strings.Join(append([]string{builtProgram("ssmonitor"), "top"}, arguments...), " "))
}

// shown returns what the terminal shows, without the marks around names that are
// written from right to left.
func (term terminal) shown(t *testing.T, flags ...string) string {
	t.Helper()
	return strings.ReplaceAll(term.tmux(t, append([]string{"capture-pane", "-p"}, flags...)...), "\u200e", "")
}

// waitShowing waits until the terminal shows all of the texts, which it may have
// broken between words.
func (term terminal) waitShowing(t *testing.T, texts ...string) (shown string) {
	t.Helper()
	eventually(t, func() error {
		shown = term.shown(t)
		words := strings.Join(strings.Fields(shown), " ")
		for _, text := range texts {
			if !strings.Contains(shown, text) && !strings.Contains(words, text) {
				return fmt.Errorf("the terminal does not show %q but:\n%s", text, shown)
			}
		}
		return nil
	})
	return shown
}

// waitTick waits until the terminal shows another time of day.
func (term terminal) waitTick(t *testing.T) {
	t.Helper()
	before := clock.FindString(term.shown(t))
	eventually(t, func() error {
		if shown := term.shown(t); clock.FindString(shown) == before {
			return fmt.Errorf("it is still %q:\n%s", before, shown)
		}
		return nil
	})
}

// state returns whether the terminal shows another screen than the shell's, hides
// the cursor, and sends other keys, and how its line is set.
func (term terminal) state(t *testing.T) string {
	t.Helper()
	flags := term.tmux(t, "display-message", "-p", "#{alternate_on} #{cursor_flag} #{keypad_cursor_flag} #{keypad_flag} #{wrap_flag} #{mouse_any_flag} #{pane_tty}")
	settings, err := exec.Command("stty", "-a", "-F", strings.Fields(flags)[6]).CombinedOutput()
	if err != nil {
		t.Fatalf("stty: %v\n%s", err, settings)
	}
	return flags + string(settings)
}

// child returns the process that the shell runs in the foreground.
func (term terminal) child(t *testing.T) (child *os.Process) {
	t.Helper()
	shell := term.shell(t)
	eventually(t, func() error {
		children, err := os.ReadFile(shell)
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
		if err != nil {
			return errors.New("the shell runs nothing")
		}
		child, err = os.FindProcess(pid)
		return err
	})
	return child
}

// waitIdle waits until the shell runs nothing: what is typed before may be lost.
func (term terminal) waitIdle(t *testing.T) {
	t.Helper()
	shell := term.shell(t)
	eventually(t, func() error {
		children, err := os.ReadFile(shell)
		if err == nil && len(children) > 0 {
			err = fmt.Errorf("the shell runs %s", children)
		}
		return err
	})
}

// shell returns the path of the file with the processes that the shell runs.
func (term terminal) shell(t *testing.T) string {
	t.Helper()
	pid := strings.TrimSpace(term.tmux(t, "display-message", "-p", "#{pane_pid}"))
	return filepath.Join("/proc", pid, "task", pid, "children")
}

var (
	clock      = regexp.MustCompile(`\d\d:\d\d:\d\d`)
	sparklines = regexp.MustCompile(`(?m)[▁ ]+$`)
)

// steady returns what the terminal shows of idle clients without what differs
// from run to run.
func steady(shown string) string {
	host, _ := os.Hostname()
	shown = strings.Replace(shown, "  "+host+"  ", "  HOST  ", 1)
	return sparklines.ReplaceAllString(clock.ReplaceAllString(shown, "HH:MM:SS"), "")
}
