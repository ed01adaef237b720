package endtoend_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestInterruptedPackagesLeaveNoPolicy interrupts the script that installs
// Debian packages. In its mount namespace /usr/sbin is an empty directory, and
// apt-get a program that waits.
func TestInterruptedPackagesLeaveNoPolicy(t *testing.T) {
	require(t, "unshare", "dpkg-query")
	for _, signal := range []struct {
		name string
		syscall.Signal
	}{{"INT", syscall.SIGINT}, {"TERM", syscall.SIGTERM}, {"HUP", syscall.SIGHUP}, {"none", 0}} {
		t.Run(signal.name, func(t *testing.T) {
			directory := t.TempDir()
			sbin := filepath.Join(directory, "sbin")
			testkit.MakeDirectory(t, sbin)
			started := filepath.Join(directory, "started")
			apt := "#!/bin/sh\ncase $* in *install*) touch " + started + ";; esac\n"
			if signal.Signal != 0 {
				apt += "case $* in *install*) exec sleep 60;; esac\n"
			}
			testkit.ReplaceFile(t, filepath.Join(directory, "apt-get"), apt)
			if err := os.Chmod(filepath.Join(directory, "apt-get"), 0o755); err != nil {
				t.Fatal(err)
			}
			command := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
				`mount --bind "$1" /usr/sbin && exec ../packages.sh no-such-package`, "sh", sbin)
			command.Env = append(os.Environ(), "PATH="+directory+":"+os.Getenv("PATH"))
			// As a terminal does, the signal goes to the whole group.
			command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			if signal.Signal != 0 {
				eventually(t, func() error { _, err := os.Stat(started); return err })
				if _, err := os.Stat(filepath.Join(sbin, "policy-rc.d")); err != nil {
					t.Errorf("nothing keeps services from starting: %v", err)
				}
				if err := syscall.Kill(-command.Process.Pid, signal.Signal); err != nil {
					t.Fatal(err)
				}
			}
			err := command.Wait()
			status := command.ProcessState.Sys().(syscall.WaitStatus)
			if signal.Signal != 0 && (!status.Signaled() || status.Signal() != signal.Signal) || signal.Signal == 0 && err != nil {
				t.Errorf("ended with %v, want %s", err, signal.name)
			}
			left, err := os.ReadDir(sbin)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, entry := range left {
				names = append(names, entry.Name())
			}
			if len(names) > 0 {
				t.Errorf("left in /usr/sbin: %s", strings.Join(names, " "))
			}
		})
	}
}
