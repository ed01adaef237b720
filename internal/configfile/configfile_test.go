package configfile_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/configfile"
)

func TestReadReturnsContentUpToTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		data, err := configfile.Read(name, 5)
		if err != nil || string(data) != "12345" {
			t.Errorf("Read(%s) = %q, %v", name, data, err)
		}
	}
	if _, err := configfile.Read(path, 4); !errors.Is(err, configfile.ErrTooLarge) {
		t.Errorf("five bytes with a limit of four: %v", err)
	}
}

func TestReadHoldsToTheLimitWithoutASize(t *testing.T) {
	if _, err := configfile.Read("/proc/self/status", 10); !errors.Is(err, configfile.ErrTooLarge) {
		t.Errorf("a file that claims to be empty: %v", err)
	}
}

func TestReadRefusesWhatIsNoSmallRegularFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the test is over
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		want error
		text string
	}{
		{dir, configfile.ErrNotRegular, "a directory"},
		{fifo, configfile.ErrNotRegular, "a FIFO"},
		{socket, configfile.ErrNotRegular, "a socket"},
		{os.DevNull, configfile.ErrNotRegular, "a device"},
		{huge, configfile.ErrTooLarge, "at most 1048576 bytes"},
		{filepath.Join(dir, "missing"), fs.ErrNotExist, "no such file"},
	} {
		_, err := configfile.Read(test.path, 1<<20)
		if !errors.Is(err, test.want) {
			t.Errorf("Read(%s) = %v, want %v", test.path, err, test.want)
			continue
		}
		for _, part := range []string{test.path, test.text} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("Read(%s) = %v, which does not say %q", test.path, err, part)
			}
		}
	}
}
