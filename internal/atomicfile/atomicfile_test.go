package atomicfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"ssmonitor/internal/atomicfile"
	"ssmonitor/internal/testkit"
)

// childVariable turns the test binary into a writer of that file: see TestWriter.
const childVariable = "SSMONITOR_TEST_WRITER"

// writers are Write as it is here and on other file systems, and that of a volatile file.
var writers = map[string]func(path string, content []byte, mode fs.FileMode) error{
	"unnamed": atomicfile.Write, "named": atomicfile.WriteNamed, "volatile": atomicfile.WriteVolatile,
}

// contentOf returns a content of a size that takes a while to write.
func contentOf(writer int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d\n", writer%10), 100_000) }

// whole reports whether the content is what contentOf returns for a writer.
func whole(content []byte) bool {
	return len(content) > 0 && bytes.Equal(content, contentOf(int(content[0]-'0')))
}

// TestWriter is not a test: TestKilledWritersLeaveNothing starts it, and kills it.
func TestWriter(t *testing.T) {
	path := os.Getenv(childVariable)
	if path == "" {
		return
	}
	for i := 0; ; i++ {
		if err := atomicfile.Write(path, contentOf(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// wantFile checks that the file has the content and the mode and is alone.
func wantFile(t *testing.T, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, want %d: %v", len(got), len(content), err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != mode {
		t.Errorf("got the mode %v, want %v: %v", info.Mode(), mode, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, want the file alone: %v", entries, err)
	}
}

func TestWriteSetsContentAndMode(t *testing.T) {
	for how, write := range writers {
		mode := fs.FileMode(0o640)
		if how == "volatile" {
			mode = 0o644
		}
		path := filepath.Join(t.TempDir(), "ports")
		for _, umask := range []int{0, 0o022, 0o777} {
			func() {
				defer syscall.Umask(syscall.Umask(umask))
				if err := write(path, fmt.Appendf(nil, "umask %o", umask), mode); err != nil {
					t.Fatal(err)
				}
			}()
			wantFile(t, path, fmt.Appendf(nil, "umask %o", umask), mode)
		}
	}
}

// TestWriteFollowsNoLink has a symbolic link in the file's place.
func TestWriteFollowsNoLink(t *testing.T) {
	for how, write := range writers {
		path, victim := filepath.Join(t.TempDir(), "ports"), filepath.Join(t.TempDir(), "victim")
		if err := errors.Join(os.WriteFile(victim, []byte("victim"), 0o600), os.Symlink(victim, path), write(path, []byte(how), 0o644)); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, []byte(how), 0o644)
		wantFile(t, victim, []byte("victim"), 0o600)
	}
}

// TestWriteAgainstLeftovers puts all kinds of things where the new content goes
// first. None of them is used, followed or changed, except for a file that a killed
// process has left.
func TestWriteAgainstLeftovers(t *testing.T) {
	for _, test := range []struct {
		name string
		put  func(at, victim string) error
	}{
		{"a longer file", func(at, _ string) error { return os.WriteFile(at, bytes.Repeat([]byte("x"), 1<<20), 0o644) }},
		{"a file without permissions", func(at, _ string) error { return os.WriteFile(at, nil, 0) }},
		{"a symbolic link", func(at, victim string) error { return os.Symlink(victim, at) }},
		{"a dangling link", func(at, victim string) error { return os.Symlink(victim+".none", at) }},
		{"a hard link", func(at, victim string) error { return os.Link(victim, at) }},
		{"an empty directory", func(at, _ string) error { return os.Mkdir(at, 0o755) }},
		{"a pipe", func(at, _ string) error { return syscall.Mkfifo(at, 0o600) }},
		{"a socket", func(at, _ string) error { return syscall.Mknod(at, syscall.S_IFSOCK|0o600, 0) }},
		{"the file of another user", func(at, _ string) error {
			return errors.Join(os.WriteFile(at, []byte("x"), 0o666), os.Chown(at, 1, 1))
		}},
	} {
		for how, write := range writers {
			t.Run(test.name+", "+how, func(t *testing.T) {
				if test.name == "the file of another user" {
					testkit.RequireRoot(t, "giving a file away")
				}
				path, victim := filepath.Join(t.TempDir(), "ports"), filepath.Join(t.TempDir(), "victim")
				if err := errors.Join(os.WriteFile(victim, []byte("victim"), 0o600), test.put(filepath.Join(filepath.Dir(path), ".ports.new"), victim)); err != nil {
					t.Fatal(err)
				}
				if !atomicfile.Interrupted(path) {
					t.Error("what was left is not seen")
				}
				if err := write(path, []byte("new"), 0o644); err != nil {
					t.Fatal(err)
				}
				wantFile(t, path, []byte("new"), 0o644)
				wantFile(t, victim, []byte("victim"), 0o600)
				if atomicfile.Interrupted(path) {
					t.Error("something is left")
				}
				if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
					t.Errorf("the file belongs to %v, %v", info, err)
				}
			})
		}
	}
}

func TestWriteReportsAFullDirectoryInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	inTheWay := filepath.Join(filepath.Dir(path), ".ports.new")
	if err := errors.Join(os.WriteFile(path, []byte("old"), 0o644), os.MkdirAll(filepath.Join(inTheWay, "x"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for how, write := range writers {
		err := write(path, []byte("new"), 0o644)
		if refused := (*fs.PathError)(nil); !errors.As(err, &refused) || refused.Path != inTheWay {
			t.Errorf("%s: got %v, want an error that names %s", how, err, inTheWay)
		}
	}
	if got, err := os.ReadFile(path); string(got) != "old" {
		t.Errorf("the file has become %q, %v", got, err)
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for how, write := range writers {
		if err := write(path, []byte("new"), 0o644); err == nil {
			t.Errorf("%s: a directory was replaced", how)
		}
		if atomicfile.Interrupted(path) {
			t.Errorf("%s: something is left", how)
		}
	}
}

// TestWritersAtOnce has several writers, and a reader who must never see a mixture.
func TestWritersAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	var running sync.WaitGroup
	for writer := range 4 {
		write := writers[[]string{"unnamed", "named"}[writer%2]]
		running.Go(func() {
			for range 50 {
				if err := write(path, contentOf(writer), 0o644); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		content, err := os.ReadFile(path)
		if err == nil && !whole(content) {
			t.Fatal("a part was read")
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, content, 0o644)
}

// TestKilledWritersLeaveNothing kills pairs of writers at random moments. The file
// is whole each time, hardly ever has company, and the next write leaves it alone in
// its directory.
func TestKilledWritersLeaveNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ports")
	interrupted := 0
	for round := range 100 {
		var pair [2]*exec.Cmd
		for i := range pair {
			pair[i] = exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^TestWriter$")
			pair[i].Env = append(os.Environ(), childVariable+"="+path)
			if err := pair[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		_ = os.Remove(path)
		testkit.Eventually(t, 10*time.Second, func() error { _, err := os.Stat(path); return err }) // they write
		time.Sleep(rand.N(5 * time.Millisecond))                                                    // the moment is random
		for _, writer := range pair {
			_ = writer.Process.Kill()
			_ = writer.Wait()
		}
		if atomicfile.Interrupted(path) {
			interrupted++
		}
		if content, err := os.ReadFile(path); err != nil || !whole(content) {
			t.Fatalf("round %d: a part was left in place: %v", round, err)
		}
		if err := atomicfile.Write(path, []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		if wantFile(t, path, []byte("new"), 0o644); t.Failed() {
			t.FailNow()
		}
	}
	if interrupted > 20 { // of the moments, few are those between naming and replacing
		t.Errorf("%d of 100 killed pairs left something", interrupted)
	}
	t.Logf("%d of 100 left something", interrupted)
}

// TestOthersLockIsNoObstacle has an unprivileged user lock the file itself, and what a
// killed writer has left, as whoever may read a file can.
func TestOthersLockIsNoObstacle(t *testing.T) {
	testkit.RequireRoot(t, "to run a process of another user")
	testkit.Require(t, "setpriv", "flock")
	directory := t.TempDir()
	for _, path := range []string{filepath.Dir(directory), directory} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(directory, "file")
	for _, name := range []string{path, filepath.Join(directory, ".file.new")} {
		if err := os.WriteFile(name, []byte("left"), 0o644); err != nil {
			t.Fatal(err)
		}
		locker := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
			"flock", name, "sh", "-c", "echo locked; exec cat")
		input, inErr := locker.StdinPipe()
		output, outErr := locker.StdoutPipe()
		locker.Stderr = os.Stderr
		if err := errors.Join(inErr, outErr, locker.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = input.Close() // which ends it
			_ = locker.Wait()
		})
		if _, err := output.Read(make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
	}
	written := make(chan error)
	go func() { written <- atomicfile.Write(path, contentOf(1), 0o644) }()
	select {
	case err := <-written:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the writer waits for ever")
	}
	wantFile(t, path, contentOf(1), 0o644)
}
