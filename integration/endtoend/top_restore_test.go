package endtoend_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/output/top"
)

// topRole runs the live table in a program that fails on purpose.
const topRole = "top"

// failingAgent panics at the fourth request.
type failingAgent struct{ requests *int }

func playTop(arguments []string) error {
	table := top.Top{Agent: failingAgent{new(int)}, Host: "host", Interval: time.Second, Now: time.Now}
	if arguments[0] == "view" {
		calls := 0
		table.Now = func() time.Time {
			if calls++; calls > 3 { // after two reports and the usage
				panic("on purpose, in the view")
			}
			return time.Now()
		}
	}
	return table.Run(context.Background())
}

func TestTopRestoresTheTerminal(t *testing.T) {
	require(t, "tmux", "stty")
	t.Parallel()
	server := newServer(t)
	signal := func(signal os.Signal) func(*testing.T, terminal) {
		return func(t *testing.T, term terminal) {
			if err := term.child(t).Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	goOn := func(t *testing.T, term terminal) {
		term.press(t, "fg", "C-j")
		term.waitShowing(t, "q quit")
		term.press(t, "q")
	}
	product := builtProgram("ssmonitor") + " top"
	role := roleToPlay + "=" + topRole + " " + testBinary() + " "
	for _, test := range []struct {
		name    string
		command string
		end     func(*testing.T, terminal)
		after   []string
	}{
		{"q", product, func(t *testing.T, term terminal) { term.press(t, "q") }, []string{"ended with 0"}},
		{"Ctrl-C", product, func(t *testing.T, term terminal) { term.press(t, "C-c") }, []string{"ended with 0"}},
		{"SIGTERM", product, signal(syscall.SIGTERM), []string{"ended with 0"}},
		{"SIGINT", product, signal(syscall.SIGINT), []string{"ended with 0"}},
		{"SIGHUP", product, signal(syscall.SIGHUP), []string{"ended with 0"}},
		{"Ctrl-Z", product, func(t *testing.T, term terminal) {
			term.press(t, "C-z")
			term.waitShowing(t, "Stopped", "before")
			goOn(t, term)
		}, nil},
		{"SIGSTOP", product, func(t *testing.T, term terminal) {
			signal(syscall.SIGSTOP)(t, term)
			// This shell leaves the line as it is: Enter ends no line.
			term.press(t, "clear; echo over''written", "C-j")
			term.waitShowing(t, "overwritten")
			goOn(t, term)
		}, nil},
		{"panic in a request", role + "request", func(*testing.T, terminal) {}, []string{"panic: on purpose, in a request", "goroutine", "ended with 2"}},
		{"panic in the view", role + "view", func(*testing.T, terminal) {}, []string{"panic: on purpose, in the view", "goroutine", "ended with 2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			term := newTerminal(t, server, 100, 60)
			term.run(t, "echo be''fore")
			term.waitShowing(t, "before")
			before := term.state(t)
			term.run(t, test.command+"; echo ended with $?")
			term.waitShowing(t, "q quit")
			if during := term.state(t); during == before {
				t.Errorf("the state of a terminal does not tell:\n%s", during)
			}
			test.end(t, term)
			term.waitShowing(t, append(test.after, "before")...)
			eventually(t, func() error {
				if after := term.state(t); after != before {
					return fmt.Errorf("the terminal is\n%s\nand was\n%s", after, before)
				}
				return nil
			})
			if shown := term.shown(t); strings.Contains(shown, "q quit") {
				t.Errorf("the view is left on the screen:\n%s", shown)
			}
		})
	}
}
