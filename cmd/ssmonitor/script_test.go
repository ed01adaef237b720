package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ssmonitor/internal/testkit"
	"ssmonitor/output/netdata"
)

// sandboxed are the tests in the sandbox.
type sandboxed struct{ *testing.M }

// Run implements testscript.TestingM.
func (s sandboxed) Run() int { return testkit.Sandbox{}.Main(s.M) }

// TestMain lets the test binary be the program, under its names.
func TestMain(m *testing.M) {
	program := func() {
		if err := hinder(); err != nil {
			panic(err)
		}
		main()
	}
	testscript.Main(sandboxed{m}, map[string]func(){"ssmonitor": program, netdata.PluginName: program, "nobody": beNobody})
}

// beNobody runs a command as user nobody.
func beNobody() {
	command := programOf(os.Args[2:]...)
	command.Args[0], command.Dir = os.Args[1], ""
	command.SysProcAttr = nobody()
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil && command.ProcessState == nil {
		panic(err)
	}
	os.Exit(command.ProcessState.ExitCode())
}

func nobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// TestScripts runs the sessions of testdata/script, each in a network namespace and a
// directory of its own. -update rewrites what they compare with.
func TestScripts(t *testing.T) {
	testkit.RequireRoot(t, "a network namespace")
	testkit.Require(t, "nft", "ip", "bash", "script", "setpriv")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Deadline: time.Now().Add(3 * time.Minute), UpdateScripts: testkit.Updating(), RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			testkit.NetworkNamespace(env.T().(testing.TB))
			env.Vars = append(env.Vars, "LC_ALL=C.UTF-8", "SSMONITOR_CONFIG=none", "SSMONITOR_NO_SEARCH=true")
			for key, name := range map[string]string{"LIST": "ports", "STATE": "state", "SOCKET": "socket", "CSV": "csv"} {
				env.Setenv("SSMONITOR_"+key, filepath.Join(env.WorkDir, name))
			}
			return os.Chmod(filepath.Dir(env.WorkDir), 0o755) // for nobody
		},
		Condition: func(condition string) (bool, error) {
			if condition != "healthy" {
				return false, fmt.Errorf("unknown condition %q", condition)
			}
			return healthy(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "await": await},
	})
}

// exits runs a command that has to end with an exit status: exits STATUS PROGRAM [ARGUMENT]...
func exits(script *testscript.TestScript, _ bool, arguments []string) {
	want, err := strconv.Atoi(arguments[0])
	script.Check(err)
	err = script.Exec(arguments[1], arguments[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	script.Check(err)
	if got != want {
		script.Fatalf("exit status %d, want %d", got, want)
	}
}

// await waits for a file that a command in the background makes: await FILE.
func await(script *testscript.TestScript, _ bool, arguments []string) {
	path := script.MkAbs(arguments[0])
	for range 4000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	script.Fatalf("there is no %s after 20 s", path)
}

// healthy reports whether a check can find nothing unknown. That depends on the host: rules
// of iptables-legacy can't be checked.
func healthy() bool {
	for _, file := range []string{"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"} {
		if names, err := os.ReadFile(file); err == nil && (bytes.Contains(names, []byte("nat")) || bytes.Contains(names, []byte("filter"))) {
			return false
		}
	}
	return true
}
