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

func TestSocketRefusesAnAbstractName(t *testing.T) {
	if _, err := serving.ListenSocket("@ssmonitor-test", "", testkit.Quiet()); err == nil || !strings.Contains(err.Error(), "want the path of a file") {
		t.Errorf("got error %v, want one that asks for the path of a file", err)
	}
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

func TestSocketReplacesNothingElse(t *testing.T) {
	directory := t.TempDir()
	file, link := filepath.Join(directory, "file"), filepath.Join(directory, "link")
	testkit.WriteFile(t, file, "precious")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if _, err := serving.ListenSocket(path, "", testkit.Quiet()); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("%s: the error is %v", path, err)
		}
	}
	testkit.WantFiles(t, directory, "file", "link")
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

func TestSocketNamesAPathThatIsTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 107))
	if _, err := serving.ListenSocket(path, "", testkit.Quiet()); err == nil || !strings.Contains(err.Error(), "107") {
		t.Errorf("the error is %v, want one with the bound", err)
	}
}

func TestSocketInAMissingDirectory(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "missing")
	_, err := serving.ListenSocket(filepath.Join(directory, "socket"), "no-such-group-here", testkit.Quiet())
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), ": create the directory "+directory+" or choose another path") {
		t.Errorf("got %v", err)
	}
}
