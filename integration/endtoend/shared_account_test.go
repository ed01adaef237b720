package endtoend_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// TestSharedAccountIsLogged has more addresses than the limit on a port for a
// minute, which one agent waits for in real time.
func TestSharedAccountIsLogged(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000=alice", "--port", "20001=bob", "--addresses", "2", "--addresses", "bob=none")
	for _, port := range []int{20000, 20001} {
		server.serve(t, port)
		server.connect(t, addressesFrom("127.0.0.2", 3), 1, fmt.Sprintf("127.0.0.1:%d", port))
	}
	const warning = `level=WARN msg="more addresses than the limit are connected to a port" port=20000 client=alice addresses=3 limit=2`
	testkit.Eventually(t, 2*time.Minute, func() error {
		agent.mustRun(t)
		if !strings.Contains(agent.stderr.String(), warning) {
			return errors.New("the agent has not logged that the account is shared")
		}
		return nil
	})
	if got := strings.Count(agent.stderr.String(), "connected to a port"); got != 1 {
		t.Errorf("the agent has logged %d lines, want 1:\n%s", got, &agent.stderr)
	}
	if _, page := agent.get(t, "/metrics"); !strings.Contains(page, "\nssmonitor_port_addresses_limit{port=\"20000\",name=\"alice\"} 2\n") ||
		strings.Contains(page, "ssmonitor_port_addresses_limit{port=\"20001\"") {
		t.Errorf("the limits are not in the metrics as they are:\n%s", page)
	}
	agent.stop(t)
}
