package endtoend_test

import (
	"fmt"
	"slices"
	"testing"
)

// squatter is a Python program that takes the address of the agents, in the ways
// that its argument names, for as long as it runs.
const squatter = `
import socket, sys, time
def take():
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.bind("\0ssmonitor")
        except OSError:
            time.sleep(0.001)
            continue
        s.listen(128)
        return s
holder, held = take(), []
print("up", flush=True)
while sys.argv[1] == "accepting":
    held.append(holder.accept())
while True:
    holder.close()
    holder = take()
`

// TestSquatterIsNoObstacle has an unprivileged user take the agents' address. The tests of
// package presence have more kinds of users and of sockets.
func TestSquatterIsNoObstacle(t *testing.T) {
	require(t, "setpriv", "python3")
	t.Parallel()
	for _, test := range []struct{ name, way string }{
		{"that accepts", "accepting"},
		{"that takes it again and again", "rebinding"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			words := slices.Concat(asNobody(""), []string{"/usr/bin/python3", "-c", squatter, test.way})
			attacker := start(t, server.command(words[0], words[1:]...))
			attacker.waitShowing(t, "up")

			server.setup(t, "--port", "20000")
			agent := server.startCounting(t, "--list", server.list)
			if test.way != "rebinding" { // the agent may win
				agent.waitSaying(t, "has taken the abstract address")
			}
			server.setup(t, "--port", "20000-20001")
			agent.waitServing(t, 20000, 20001)
			// Two agents still refuse each other.
			server.startAgent(t, "--list", server.list).endsWith(t, 1, fmt.Sprint(agent.command.Process.Pid))
			server.fail(t, 1, []string{fmt.Sprint(agent.command.Process.Pid)}, "teardown")
			agent.stop(t)
			server.succeed(t, "teardown", "--dry-run")
			server.succeed(t, "teardown")
			server.expectNoRuleset(t, "after teardown")
			select {
			case <-attacker.done:
				t.Errorf("the squatter has ended:\n%s", &attacker.stderr)
			default:
			}
		})
	}
}
