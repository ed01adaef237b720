package serving

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestSocketOfTheGroupIsNotGivenToItAgain has a path that chown would not find.
func TestSocketOfTheGroupIsNotGivenToItAgain(t *testing.T) {
	directory := t.TempDir()
	info, err := os.Lstat(directory)
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid)))
	if err != nil {
		testkit.Missing(t, "the user's own group has no name: %v", err)
	}
	if err := giveToGroup(filepath.Join(directory, "nowhere"), info, group.Name); err != nil {
		t.Errorf("got %v, want nothing to be done", err)
	}
}

// TestSocketIsNeverOpenToOthers looks at the file as bind(2) creates it, before
// its group and mode are set. Without the call of fchmod the umask of 0 makes it
// 0777.
func TestSocketIsNeverOpenToOthers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := listenPrivately(path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the test is over
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.ModeSocket|0o600; got != want {
		t.Errorf("got mode %s, want %s", got, want)
	}
}
