package endtoend_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// byHand prepares a run of ssmonitor as an administrator starts it: with the
// settings, and without the directories of the unit.
func (p product) byHand(settings string, arguments ...string) *exec.Cmd {
	command := p.command(builtProgram("ssmonitor"), arguments...)
	command.Env = append(os.Environ(), "SSMONITOR_CONFIG="+settings)
	return command
}

// TestEveryCommandUsesTheStateOfTheSettings names a directory in the settings
// and another one in the unit.
func TestEveryCommandUsesTheStateOfTheSettings(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	named := filepath.Join(server.directory, "named")
	settings := server.settings(t, "state: "+named+"\n")
	agent := server.startCounting(t, "--config", settings, "--port", "20000=alice")
	server.sendToItself(t, 20000, 10)
	begin(t, server.byHand(settings, "teardown")).expectOneLine(t, "stop it first")
	agent.stop(t)
	server.sendToItself(t, 20000, 3) // saved by the next command
	if run := begin(t, server.byHand(settings, "client", "new", "20000", "dave")); run.wait(t) != 0 {
		t.Fatalf("%s fails:\n%s", run, &run.stderr)
	}
	server.sendToItself(t, 20000, 4) // saved by teardown
	if run := begin(t, server.byHand(settings, "teardown")); run.wait(t) != 0 {
		t.Fatalf("%s fails:\n%s", run, &run.stderr)
	}
	run := begin(t, server.byHand(settings, "usage", "--format", "json"))
	if status := run.wait(t); status != 0 {
		t.Fatalf("%s ended with status %d:\n%s", run, status, &run.stderr)
	}
	var answer usageAnswer
	decodeUsage(t, run.stdout.String(), &answer)
	answer.expect(t, "by hand", map[string]traffic{"alice": loopbackTraffic(13), "dave": loopbackTraffic(4)})
	if files, err := os.ReadDir(server.stateDirectory()); err != nil || len(files) > 0 {
		t.Errorf("the unit's directory has %v, %v", files, err)
	}

	// The command line comes before both, the unit before the default.
	begin(t, server.byHand(settings, "usage", "--state", server.stateDirectory())).
		expectOneLine(t, "nothing has been saved", server.stateDirectory())
	begin(t, server.ssmonitor(nil, "usage", "--config", "none")).
		expectOneLine(t, "nothing has been saved", server.stateDirectory())
}
