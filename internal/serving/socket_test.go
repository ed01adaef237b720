package serving_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
)

func TestSocketIsForItsGroup(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "socket")
	group := "nogroup"
	if os.Geteuid() != 0 {
		own, err := user.LookupGroupId(strconv.Itoa(os.Getegid()))
		if err != nil {
			testkit.Missing(t, "the user's own group has no name: %v", err)
		}
		group = own.Name
	}
	wanted, err := user.LookupGroup(group)
	if err != nil {
		testkit.Missing(t, "this test needs the group: %v", err)
	}
	listener, err := serving.ListenSocket(path, group, testkit.Quiet())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the mode is %s, want a socket's 0660", info.Mode())
	}
	if got := fmt.Sprint(info.Sys().(*syscall.Stat_t).Gid); got != wanted.Gid {
		t.Errorf("the group is %s, want %s", got, wanted.Gid)
	}
	if listener.Addr().String() != path {
		t.Errorf("the address is %s, want %s", listener.Addr(), path)
	}
	testkit.WantFiles(t, filepath.Dir(path), "socket")
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	testkit.WantFiles(t, filepath.Dir(path))
}

func TestSocketOfALivingProcessIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	servingtest.Listen(t, path)
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = serving.ListenSocket(path, "", testkit.Quiet())
	if !errors.Is(err, serving.ErrSocketInUse) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("the error is %v, want serving.ErrSocketInUse with the process", err)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket was replaced: %v", err)
	}
	testkit.WantFiles(t, filepath.Dir(path), "socket")
}

func TestSocketKeepsTheFileOfItsSuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	first := servingtest.Listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	servingtest.Listen(t, path)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	testkit.WantFiles(t, filepath.Dir(path), "socket")
}

// TestSocketRefusesAPath has paths at which no socket can be, or something else is.
func TestSocketRefusesAPath(t *testing.T) {
	directory := testkit.OpenDirectory(t)
	in := func(name string) string { return filepath.Join(directory, name) }
	testkit.WriteFile(t, in("file"), "precious")
	if err := os.Symlink(in("file"), in("link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"@ssmonitor-test":            "want the path of a file",
		in("file"):                   "not a socket",
		in("link"):                   "not a socket",
		in(strings.Repeat("x", 107)): "107",
		in("missing") + "/socket":    "no such file or directory: create the directory " + in("missing") + " or choose another path",
	} {
		if _, err := serving.ListenSocket(path, "no-such-group-here", testkit.Quiet()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	testkit.WantFiles(t, directory, "file", "link")
}
