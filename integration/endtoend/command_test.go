package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"ssmonitor/internal/testkit"
	"strings"
	"testing"
)

func TestWrongUsageEndsWithStatus2(t *testing.T) {
	require(t)
	t.Parallel()
	ssmonitor := newServer(t)
	settings := filepath.Join(ssmonitor.directory, "config.yaml")
	testkit.ReplaceFile(t, settings, "interval: 1s\nintervall: 2s\n")
	client := filepath.Join(ssmonitor.directory, "client.json")
	testkit.ReplaceFile(t, client, `{"server": "192.0.2.1", "server_port": 8388, "local_port": 1080, "password": "p", "method": "aes-256-gcm"}`)
	noJSON := filepath.Join(ssmonitor.directory, "no.json")
	testkit.ReplaceFile(t, noJSON, "port = 8388\n")
	tests := []struct {
		name      string
		arguments []string
		words     []string // that stderr has to name
	}{
		{"unknown command", []string{"sttup"}, []string{"sttup"}},
		{"unknown flag", []string{"setup", "--prot", "20000"}, []string{"prot"}},
		{"superfluous word", []string{"teardown", "now"}, []string{"now"}},
		{"port 0", []string{"setup", "--port", "0"}, []string{"0"}},
		{"port above 65535", []string{"setup", "--port", "70000"}, []string{"70000"}},
		{"port that is no number", []string{"setup", "--port", "80a"}, []string{"80a"}},
		{"unknown protocol", []string{"setup", "--port", "80/sctp"}, []string{"sctp"}},
		{"unknown hook", []string{"run", "--hook", "forward", "--port", "20000"}, []string{"forward"}},
		{"unknown own", []string{"run", "--own", "maybe", "--port", "20000"}, []string{"maybe"}},
		{"interval that is none", []string{"run", "--interval", "2", "--port", "20000"}, []string{"interval"}},
		{"negative interval", []string{"run", "--interval", "-1s", "--port", "20000"}, []string{"interval"}},
		{"misspelled setting", []string{"run", "--config", settings}, []string{settings, "intervall", "line 2, column 1"}},
		{"missing settings", []string{"run", "--config", settings + ".old"}, []string{settings + ".old"}},
		{"missing configuration", []string{"setup", "--shadowsocks", settings + ".old"}, []string{settings + ".old"}},
		{"configuration of a client", []string{"setup", "--shadowsocks", client}, []string{client}},
		{"configuration that is no JSON", []string{"setup", "--shadowsocks", noJSON}, []string{noJSON}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ssmonitor.fail(t, 2, test.words, test.arguments...)
		})
	}
	ssmonitor.expectNoRuleset(t, "wrong usage made")
}

// TestSetupWithoutPortsNamesTheTwoWays runs setup in a file system that holds
// only the binary, so that no configuration can be found.
func TestSetupWithoutPortsNamesTheTwoWays(t *testing.T) {
	require(t, "chroot")
	t.Parallel()
	server := newNamespace(t)
	root := t.TempDir()
	// The copy is not made by this process. A program that another test starts
	// meanwhile would inherit the open file, and the copy could not be executed.
	server.run(t, "cp", builtProgram("ssmonitor"), root)
	start(t, server.command("chroot", root, "/ssmonitor", "setup")).endsWith(t, 1, "--shadowsocks", "--port")
	start(t, server.command("chroot", root, "/ssmonitor", "setup", "--if-configured")).endsWith(t, 0, "no port to count yet")
	testkit.MakeDirectory(t, filepath.Join(root, "etc"))
	// An unreadable file is noted, and is an error where it is named.
	configuration := "/etc/shadowsocks.json"
	testkit.ReplaceFile(t, filepath.Join(root, configuration), "{")
	start(t, server.command("chroot", root, "/ssmonitor", "setup", "--if-configured")).endsWith(t, 0, configuration, "no port to count yet")
	start(t, server.command("chroot", root, "/ssmonitor", "setup", "--if-configured", "--shadowsocks", configuration)).endsWith(t, 2, configuration)
	server.expectNoRuleset(t, "setup without ports made")
}

// TestClosedDirectoryIsNotEmpty searches, as nobody, where a usual place may not
// be listed.
func TestClosedDirectoryIsNotEmpty(t *testing.T) {
	require(t, "chroot")
	t.Parallel()
	server := newNamespace(t)
	root := sharedDirectory(t)
	server.run(t, "cp", builtProgram("ssmonitor"), root)
	testkit.MakeDirectory(t, filepath.Join(root, "etc"))
	if err := os.Mkdir(filepath.Join(root, "etc/shadowsocks"), 0o700); err != nil {
		t.Fatal(err)
	}
	search := func(arguments ...string) *program {
		words := append([]string{fmt.Sprintf("--userspec=%d:%d", nobody, nobody), root, "/ssmonitor"}, arguments...)
		return start(t, server.command("chroot", words...))
	}
	const closed = "searching for Shadowsocks configurations: open /etc/shadowsocks: permission denied\n"
	setup := search("setup", "--dry-run")
	setup.endsWith(t, 1, "note: "+closed, "not every usual place can be read by this user, so run it as root: no port found", "--shadowsocks")
	if notes := strings.Count(setup.stderr.String(), "note: "); notes != 1 {
		t.Errorf("setup prints %d notes, want 1:\n%s", notes, &setup.stderr)
	}
	setup = search("setup", "--dry-run", "--no-search")
	setup.endsWith(t, 1, "no port found")
	if strings.Contains(setup.stderr.String(), "as root") {
		t.Errorf("setup without a search prints\n%s", &setup.stderr)
	}
	check := search("check")
	check.endsWith(t, 1)
	if printed := check.stdout.String(); !strings.Contains(printed, "unknown "+closed) || strings.Contains(printed, "no Shadowsocks configuration was found") {
		t.Errorf("check prints\n%s", printed)
	}
}

// TestSettingsComeFromFlagEnvironmentAndFile gives each of the three a port
// list of its own; the one with the highest precedence applies.
func TestSettingsComeFromFlagEnvironmentAndFile(t *testing.T) {
	require(t)
	t.Parallel()
	server := newServer(t)
	settings := filepath.Join(server.directory, "config.yaml")
	testkit.ReplaceFile(t, settings, "port: [20000]\n")
	tests := []struct {
		name        string
		environment []string
		flags       []string
		want        string
	}{
		{"file", nil, nil, "tcp-20000-in"},
		{"environment over file", []string{"SSMONITOR_PORT=20001"}, nil, "tcp-20001-in"},
		{"flag over both", []string{"SSMONITOR_PORT=20001"}, []string{"--port", "20002"}, "tcp-20002-in"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			command := server.ssmonitor(nil, append([]string{"setup", "--dry-run", "--config", settings}, test.flags...)...)
			command.Env = append(command.Env, test.environment...)
			run := begin(t, command)
			run.endsWith(t, 0)
			ruleset := run.stdout.String()
			if strings.Count(ruleset, "counter tcp-") != 2 || !strings.Contains(ruleset, test.want) {
				t.Errorf("want one port with counter %s, got\n%s", test.want, ruleset)
			}
		})
	}
}
