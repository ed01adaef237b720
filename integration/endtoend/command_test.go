package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

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
	server.expectNoRuleset(t, "after setup without ports")
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
