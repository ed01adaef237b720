package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestPluginWithoutSettings expects the plugin to go on with the defaults if it
// can't use the settings: Netdata would disable it.
func TestPluginWithoutSettings(t *testing.T) {
	for _, test := range []struct {
		name, settings string
		mode           os.FileMode
		want           string
	}{
		{"not readable", "socket: /nowhere\n", 0o600, "permission denied"},
		{"misspelled", "sockett: /nowhere\n", 0o644, "line 1, column 1: "},
		{"no YAML", "{", 0o644, "line 1, column "},
		{"a number of charts that is none", "charts: many\n", 0o644, "key charts: want a number of ports"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			path := filepath.Join(p.directory, "config.yaml")
			if err := os.WriteFile(path, []byte(test.settings), test.mode); err != nil {
				t.Fatal(err)
			}
			command := programOf("netdata", "--config", path, "1")
			command.SysProcAttr = nobody()
			stdin, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			plugin := startPlugin(t, command)
			// Two lines: it has also asked the agent, which is not there.
			for range 2 {
				if !plugin.lines.Scan() || plugin.lines.Text() != "" {
					t.Fatalf("the plugin writes %q\n%s", plugin.lines.Text(), &plugin.log)
				}
			}
			_ = stdin.Close()
			plugin.endsQuietly()
			if log := plugin.log.String(); strings.Count(log, "the settings can't be used") != 1 || !strings.Contains(log, test.want) ||
				!strings.Contains(log, "/run/ssmonitor/ssmonitor.sock") {
				t.Errorf("want one line about the settings, with %q, and one about the default socket:\n%s", test.want, log)
			}
		})
	}
	if status, _, stderr := call(t, "netdata", "--config", "/nosuch/config.yaml"); status != exitUsage || !strings.Contains(stderr, "/nosuch/config.yaml") {
		t.Errorf("a file that is named and missing: got status %d and %q, want 2", status, stderr)
	}
}

// TestRootOfAnotherUserNamespace runs commands as the root of a container to whom a file
// that is mounted there does not belong.
func TestRootOfAnotherUserNamespace(t *testing.T) {
	p := newPlace(t)
	p.setup()
	if err := os.Chown(p.config, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) (status int, output string) {
		command := programOf(arguments...)
		command.SysProcAttr = testkit.OthersNetwork(t)
		text, err := command.CombinedOutput()
		if err != nil && command.ProcessState == nil {
			t.Fatal(err)
		}
		return command.ProcessState.ExitCode(), string(text)
	}
	const remedy = "even root may not do this here: give the file to this root (chown, --userns), or grant CAP_DAC_OVERRIDE"
	status, output := run("setup", "--no-search", "--dry-run", "--shadowsocks", p.config, "--list", p.list)
	if status != exitFailed || !strings.Contains(output, "permission denied: "+remedy) || strings.Contains(output, "run it as root") {
		t.Errorf("setup: status %d\n%s", status, output)
	}
	if _, output = run(p.checkArguments("")...); !strings.Contains(output, p.config+": permission denied\n          "+remedy) || strings.Contains(output, "run it as root") {
		t.Errorf("check:\n%s", output)
	}
}

// TestReaderRemedy has a state directory that an agent by hand has made, which members of
// the group can't read either.
func TestReaderRemedy(t *testing.T) {
	directory := t.TempDir()
	own := os.Getegid()
	lookup := func(id int) func(string) (*user.Group, error) {
		return func(string) (*user.Group, error) { return &user.Group{Gid: strconv.Itoa(id)}, nil }
	}
	members := func(ids ...int) func() ([]int, error) { return func() ([]int, error) { return ids, nil } }
	const join = ", or, to read, join the group ssmonitor (usermod --append --groups ssmonitor USER)"
	opened := "open " + directory + " to the group ssmonitor: it has the mode "
	remedy := fmt.Sprintf(" (chgrp -R ssmonitor %s; chmod g+rx %s)", directory, directory)
	for _, test := range []struct {
		name   string
		mode   os.FileMode
		lookup func(string) (*user.Group, error)
		member func() ([]int, error)
		want   string
	}{
		{"no group", 0o700, func(string) (*user.Group, error) { return nil, errors.New("unknown") }, members(), join},
		{"open, not a member", 0o750, lookup(own), members(4, 5), join},
		{"a member, closed", 0o700, lookup(own), members(4, own), ", or, to read, " + opened + "0700" + remedy},
		{"a member, of another group", 0o750, lookup(999), members(999), fmt.Sprintf(", or, to read, %s0750 and the group %d%s", opened, own, remedy)},
		{"neither", 0o700, lookup(own), members(), join + " and " + opened + "0700" + remedy},
		{"a member, open", 0o750, lookup(own), members(own), ""},
	} {
		if err := os.Chmod(directory, test.mode); err != nil {
			t.Fatal(err)
		}
		if got := readerRemedy(directory, test.lookup, test.member); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
