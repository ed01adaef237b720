package processes_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/integration/processes"
	"ssmonitor/internal/testkit"
)

// Nobody has root read a file for him.
func TestResolve(t *testing.T) {
	testkit.NetworkNamespace(t)
	directory := testkit.RootsDirectory(t)
	program := fake(t, directory, "ss-server")
	open, secret := write(t, directory, "open.json", "{}"), write(t, directory, "secret.json", "{}")
	group, below := write(t, directory, "group.json", "{}"), write(t, directory, "closed/open.json", "{}")
	link := filepath.Join(directory, "link.json")
	err := errors.Join(os.Chmod(secret, 0o600), os.Chmod(group, 0o640), os.Chown(group, 0, 1234), os.Chmod(filepath.Dir(below), 0o700), os.Symlink(below, link))
	if err != nil {
		t.Fatal(err)
	}
	others := func(name string, mode os.FileMode, user int) string {
		path := write(t, directory, name, "{}")
		if at := filepath.Dir(path); at != directory {
			err = errors.Join(err, os.Chmod(at, mode), os.Chown(at, user, 0))
		} else {
			err = errors.Join(err, os.Chmod(path, mode), os.Chown(path, user, 0))
		}
		return path
	}
	writable := map[string]string{
		"a file of nobody": others("a.json", 0o644, nobody), "a file for the group": others("b.json", 0o664, 0),
		"a file for all": others("c.json", 0o646, 0), "in a directory of nobody": others("a/a.json", 0o755, nobody),
		"in a directory for the group": others("b/a.json", 0o775, 0), "in one like /tmp": others("c/a.json", 0o777|os.ModeSticky, 0),
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, adjust := range map[string]func(*exec.Cmd){
		"root": nil, "nobody": as(nobody), "group": func(command *exec.Cmd) {
			command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{1, 1234}}
		},
	} {
		command := testkit.Start(t, adjust, program, "-c", "sleep 1000; true")
		servers := waitFor(t, "ss-server "+filepath.Join(workingDirectory(t), "sleep 1000; true"))
		for path, want := range map[string]bool{
			open: true, directory: true, secret: name == "root", group: name != "nobody", below: name == "root", link: name == "root",
		} {
			if _, err := servers[0].Resolve(path); (err == nil) != want || err != nil && !errors.Is(err, processes.ErrUnreadable) {
				t.Errorf("%s may read %s: %v, want %v", name, path, err, want)
			}
		}
		for what, path := range writable {
			if _, err := servers[0].Resolve(path); (err == nil) != (name == "root") || err != nil && !errors.Is(err, processes.ErrWritable) {
				t.Errorf("%s may read %s, which others may write: %v", name, what, err)
			}
		}
		if _, err := servers[0].Resolve(filepath.Join(directory, "missing")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing file: %v", err)
		}
		testkit.Stop(command)
	}
}

// Anybody can start a program that has the rights of root under any name.
func TestResolveIgnoresTheSetUserIDBit(t *testing.T) {
	testkit.NetworkNamespace(t)
	testkit.Require(t, "sleep")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	directory := testkit.RootsDirectory(t)
	program, secret := write(t, directory, "ss-server", string(content)), write(t, directory, "secret.json", "{}")
	if err := errors.Join(os.Chmod(secret, 0o600), os.Chmod(program, 0o755|fs.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	testkit.Start(t, as(nobody), program, "1000")
	servers := waitFor(t, "ss-server")
	if _, err := servers[0].Resolve(secret); !errors.Is(err, processes.ErrUnreadable) || servers[0].IsRoots() {
		t.Errorf("a user may read root's file: %v", err)
	}
}

// TestProc has what real processes can't easily be made to be.
func TestProc(t *testing.T) {
	proc := t.TempDir()
	own := write(t, proc, "thread-self/net/dev", "")
	const mounts = "22 1 0:21 / / rw - ext4 a rw\n"
	write(t, proc, "thread-self/mountinfo", mounts)
	write(t, proc, "sys/ignored", "")
	process := func(pid int, state, mounts, line string) {
		directory := fmt.Sprint(pid)
		write(t, proc, directory+"/stat", fmt.Sprintf("%d (ss-server) %s 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 %d 1", pid, state, 100-pid))
		write(t, proc, directory+"/comm", "ss-server\n")
		write(t, proc, directory+"/cmdline", strings.ReplaceAll(line, " ", "\x00"))
		write(t, proc, directory+"/status", "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
		write(t, proc, directory+"/mountinfo", mounts)
		if err := os.MkdirAll(filepath.Join(proc, directory, "net"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(own, filepath.Join(proc, directory, "net/dev")); err != nil {
			t.Fatal(err)
		}
	}
	process(10, "S", mounts, "ss-server -c /a")
	process(11, "S", "22 1 0:21 /container / rw - ext4 a rw\n", "ss-server -c /b")
	process(12, "Z", mounts, "ss-server -c /c")
	process(13, "S", "", "ss-server -c /d")
	process(14, "S", mounts, "")
	process(15, "S", mounts+"23 22 0:99 / / rw - overlay a rw\n", "ss-server -c /e\n\x1b[2J")
	process(16, "S", mounts, "ss-server -c /f")
	if err := os.Remove(filepath.Join(proc, "16/status")); err != nil { // it ends at this moment
		t.Fatal(err)
	}
	here := &processes.Procfs{Proc: proc}
	servers, err := here.Find()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, server := range servers.Servers {
		got = append(got, fmt.Sprintf("%d %q %v", server.PID, server.Files, server.SeesOtherFiles()))
	}
	if diff := cmp.Diff([]string{`15 ["/e\n\x1b[2J"] true`, `13 ["/d"] true`, `11 ["/b"] true`, `10 ["/a"] false`}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Thousands of another user hide none of root's.
	process(17, "S", mounts, "ss-server -c /g")
	write(t, proc, "17/status", "Uid:\t65534\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
	for pid := 100; pid < 100+1<<12; pid++ {
		if err := os.Symlink("17", filepath.Join(proc, fmt.Sprint(pid))); err != nil {
			t.Fatal(err)
		}
	}
	all, err := here.Find()
	if err != nil || len(all.Servers) != 4+1<<12 || all.More != 1 || !all.Servers[3].IsRoots() || all.Servers[4].IsRoots() {
		t.Errorf("thousands of servers: %d, %d more, %v", len(all.Servers), all.More, err)
	}
}

// Another process may get the number of one that ends.
func TestANumberThatAnotherProcessGets(t *testing.T) {
	proc := t.TempDir()
	own := write(t, proc, "thread-self/net/dev", "")
	write(t, proc, "thread-self/mountinfo", "22 1 0:21 / / rw - ext4 a rw\n")
	stat := func(name string, started int) string {
		return write(t, proc, name, fmt.Sprintf("10 (ss-server) S 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 %d 1", started))
	}
	first, second := stat("10/stat", 1), stat("second", 2)
	write(t, proc, "10/comm", "ss-server\n")
	write(t, proc, "10/status", "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
	write(t, proc, "10/net/other", "")
	arguments := filepath.Join(proc, "10/cmdline")
	if err := errors.Join(os.Link(own, filepath.Join(proc, "10/net/dev")), syscall.Mkfifo(arguments, 0o600)); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		pipe, err := os.OpenFile(arguments, os.O_WRONLY, 0) // waits until the first stat was read
		if err == nil {
			_, writeErr := pipe.WriteString("ss-server\x00-c\x00/a")
			err = errors.Join(os.Rename(second, first), writeErr, pipe.Close())
		}
		written <- err
	}()
	found, err := (&processes.Procfs{Proc: proc}).Find()
	if err := errors.Join(err, <-written); err != nil {
		t.Fatal(err)
	}
	if len(found.Servers) != 0 {
		t.Errorf("%+v", found.Servers)
	}
}
