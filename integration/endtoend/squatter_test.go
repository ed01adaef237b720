package endtoend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// squatter is a Python program that takes the address of the agents, in the ways
// that its argument names, for as long as it runs.
const squatter = `
import socket, sys, time
way, held = sys.argv[1], []
def take(backlog):
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.bind("\0ssmonitor")
        except OSError:
            time.sleep(0.001)
            continue
        if backlog is not None:
            s.listen(backlog)
        return s
holder = take({"deaf": 128, "full": 0, "silent": None}.get(way, 128))
print("up", flush=True)
if way == "full":
    for _ in range(3):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        held.append(s)
        try:
            s.connect("\0ssmonitor")
        except BlockingIOError:
            pass
while way == "accepting":
    held.append(holder.accept())
while way == "rebinding":
    holder.close()
    holder = take(128)
time.sleep(3600)
`

// TestSquatterIsNoObstacle has an unprivileged user take the agents' address.
func TestSquatterIsNoObstacle(t *testing.T) {
	require(t, "setpriv", "unshare", "python3")
	t.Parallel()
	userRoot := slices.Concat(asNobody(""), []string{"unshare", "--user", "--map-root-user"})
	for _, test := range []struct {
		name, way string
		prefix    []string
	}{
		{"that accepts", "accepting", asNobody("")},
		{"that accepts, as root of a user namespace", "accepting", userRoot},
		{"that never accepts", "deaf", asNobody("")},
		{"whose backlog is full", "full", asNobody("")},
		{"that does not listen", "silent", asNobody("")},
		{"that takes it again and again", "rebinding", asNobody("")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newNamespace(t)
			ssmonitor := newProduct(t, server)
			words := slices.Concat(test.prefix, []string{"/usr/bin/python3", "-c", squatter, test.way})
			attacker := start(t, server.command(words[0], words[1:]...))
			eventually(t, func() error {
				if !strings.Contains(attacker.stdout.String(), "up") {
					return fmt.Errorf("the squatter is not up: %s", &attacker.stderr)
				}
				return nil
			})

			ssmonitor.setup(t, "--port", "20000")
			agent := ssmonitor.startAgent(t, "--ports", ssmonitor.list)
			agent.waitServing(t, 20000)
			if test.way != "rebinding" { // the agent may win
				agent.waitSaying(t, "has taken the abstract address")
			}
			ssmonitor.setup(t, "--port", "20000-20001")
			agent.waitServing(t, 20000, 20001)
			// Two agents still refuse each other.
			ssmonitor.startAgent(t, "--ports", ssmonitor.list).endsWith(t, 1, fmt.Sprint(agent.command.Process.Pid))
			ssmonitor.fail(t, 1, []string{fmt.Sprint(agent.command.Process.Pid)}, "teardown")
			agent.stop(t)
			ssmonitor.succeed(t, "teardown", "--dry-run")
			ssmonitor.succeed(t, "teardown")
			if ruleset := server.ruleset(t); ruleset != "" {
				t.Errorf("after teardown there is still:\n%s", ruleset)
			}
			select {
			case <-attacker.done:
				t.Errorf("the squatter has ended:\n%s", &attacker.stderr)
			default:
			}
		})
	}
}
