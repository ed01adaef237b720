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
	require(t)
	t.Parallel()
	server := newNamespace(t)
	ssmonitor := newProduct(t, server)
	named := filepath.Join(ssmonitor.directory, "named")
	settings := ssmonitor.settings(t, "state: "+named+"\n")
	agent := ssmonitor.startAgent(t, "--config", settings, "--port", "20000=alice")
	agent.waitServing(t, 20000)
	server.sendToItself(t, 20000, 10)
	begin(t, ssmonitor.byHand(settings, "teardown")).expectOneLine(t, 1, "stop it first")
	agent.stop(t)
	server.sendToItself(t, 20000, 3) // saved by the next command
	if run := begin(t, ssmonitor.byHand(settings, "client", "new", "20000", "dave")); run.wait(t) != 0 {
		t.Fatalf("%s fails:\n%s", run, &run.stderr)
	}
	server.sendToItself(t, 20000, 4) // saved by teardown
	if run := begin(t, ssmonitor.byHand(settings, "teardown")); run.wait(t) != 0 {
		t.Fatalf("%s fails:\n%s", run, &run.stderr)
	}
	run := begin(t, ssmonitor.byHand(settings, "usage", "--format", "json"))
	if status := run.wait(t); status != 0 {
		t.Fatalf("%s ended with status %d:\n%s", run, status, &run.stderr)
	}
	var answer usageAnswer
	decodeUsage(t, run.stdout.String(), &answer)
	answer.expect(t, "by hand", map[string]traffic{"alice": loopbackTraffic(13), "dave": loopbackTraffic(4)})
	if files, err := os.ReadDir(ssmonitor.stateDirectory()); err != nil || len(files) > 0 {
		t.Errorf("the unit's directory has %v, %v", files, err)
	}

	// The command line comes before both, the unit before the default.
	begin(t, ssmonitor.byHand(settings, "usage", "--state", ssmonitor.stateDirectory())).
		expectOneLine(t, 1, "nothing has been saved", ssmonitor.stateDirectory())
	begin(t, ssmonitor.ssmonitor(nil, "usage", "--config", "none")).
		expectOneLine(t, 1, "nothing has been saved", ssmonitor.stateDirectory())
}
