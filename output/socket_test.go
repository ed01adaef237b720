package output

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// listenSocket listens for the test, as a group that does not exist unless one
// is named.
func listenSocket(t *testing.T, path string) net.Listener {
	t.Helper()
	listener, err := ListenSocket(path, "no-such-group-here", quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestSocketIsForItsGroup(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "socket")
	group := "nogroup"
	if os.Geteuid() != 0 {
		own, err := user.LookupGroupId(currentGroup())
		if err != nil {
			skip(t, "the user's own group has no name: "+err.Error())
		}
		group = own.Name
	}
	wanted, err := user.LookupGroup(group)
	if err != nil {
		skip(t, err.Error())
	}
	listener, err := ListenSocket(path, group, quiet())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the mode is %s, expected a socket's 0660", info.Mode())
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; uint64(got) != number(t, wanted.Gid) {
		t.Errorf("the group is %d, expected %s", got, wanted.Gid)
	}
	if listener.Addr().String() != path {
		t.Errorf("the address is %s, expected %s", listener.Addr(), path)
	}
	expectFiles(t, filepath.Dir(path), "socket")
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	expectFiles(t, filepath.Dir(path))
}

func TestSocketOfALivingProcessIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listenSocket(t, path)
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ListenSocket(path, "", quiet())
	if !errors.Is(err, ErrSocketServed) || !strings.Contains(err.Error(), "number ") {
		t.Errorf("the error is %v, expected ErrSocketServed with the process", err)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket was replaced: %v", err)
	}
	expectFiles(t, filepath.Dir(path), "socket")
}

func TestSocketThatNobodyServesIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	listenSocket(t, path)
	connection, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := connection.Close(); err != nil {
		t.Error(err)
	}
}

func TestSocketReplacesNothingElse(t *testing.T) {
	directory := t.TempDir()
	file, link := filepath.Join(directory, "file"), filepath.Join(directory, "link")
	writeFile(t, file, "precious")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if _, err := ListenSocket(path, "", quiet()); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("%s: the error is %v", path, err)
		}
	}
	expectFiles(t, directory, "file", "link")
}

func TestSocketKeepsTheFileOfItsSuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	first := listenSocket(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listenSocket(t, path)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	expectFiles(t, filepath.Dir(path), "socket")
}

func TestSocketNamesAPathThatIsTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", longestSocket))
	if _, err := ListenSocket(path, "", quiet()); err == nil || !strings.Contains(err.Error(), "107") {
		t.Errorf("the error is %v, expected one with the bound", err)
	}
}

func currentGroup() string { return strconv.Itoa(os.Getegid()) }

func number(t *testing.T, text string) uint64 {
	t.Helper()
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return number
}
