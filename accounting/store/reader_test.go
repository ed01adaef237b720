package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/testkit"
)

// The group that may read, and a user in it.
const (
	readerUser  = 12345
	readerGroup = 23456
)

// TestMain also runs as another user: then it reads a directory and prints what it
// found, after it has saved to it if that is wanted.
func TestMain(m *testing.M) {
	directory := os.Getenv("SSMONITOR_TEST_READ")
	if directory == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("SSMONITOR_TEST_SAVE") != "" {
		saveOnce(directory)
	}
	var found readout
	report, err := Usage(context.Background(), directory, usage.Query{By: usage.ByDay})
	if err == nil {
		found.In, _ = sums(report)
		_, err = Check(directory)
	}
	if err != nil {
		found.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(1)
	}
}

type readout struct {
	In  accounting.Count
	Err string
}

// saveOnce saves to a directory, or ends the process.
func saveOnce(directory string) {
	s, _, _, err := Open(directory, at(noon))
	if err == nil {
		err = errors.Join(s.Save(stateAt(1, 1)), s.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// readAs reads as another user.
func readAs(t *testing.T, directory string, groups ...uint32) readout {
	t.Helper()
	return runAs(t, directory, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: readerUser, Gid: readerUser, Groups: groups}})
}

func runAs(t *testing.T, directory string, user *syscall.SysProcAttr, environment ...string) readout {
	t.Helper()
	// The binary of the test is in a directory that only root may enter.
	program := filepath.Join(filepath.Dir(directory), "reader")
	if _, err := os.Stat(program); err != nil {
		if err := os.WriteFile(program, readAll(t, "/proc/self/exe"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(program)
	command.Env = append(append(os.Environ(), "SSMONITOR_TEST_READ="+directory), environment...)
	command.Stderr = os.Stderr
	command.SysProcAttr = user
	output, err := command.Output()
	var found readout
	if err == nil {
		err = json.Unmarshal(output, &found)
	}
	if err != nil {
		t.Fatalf("reading as another user: %v: %s", err, output)
	}
	return found
}

// groupDirectory returns a state directory whose group may read.
func groupDirectory(t *testing.T) string {
	t.Helper()
	testkit.RequireRoot(t, "another user")
	base, err := os.MkdirTemp("", "ssmonitor-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	directory := filepath.Join(base, "state")
	if err := errors.Join(os.Chmod(base, 0o755), os.Mkdir(directory, directoryMode), os.Chown(directory, 999, readerGroup)); err != nil {
		t.Fatal(err)
	}
	return directory
}

// TestAContainerSavesToADirectoryOfTheHost saves in a user namespace that does not have
// the directory's owner and group.
func TestAContainerSavesToADirectoryOfTheHost(t *testing.T) {
	directory := groupDirectory(t)
	if err := os.Chmod(directory, 0o777); err != nil {
		t.Fatal(err)
	}
	mapping := []syscall.SysProcIDMap{{HostID: readerUser, Size: 1}}
	found := runAs(t, directory, &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: mapping, GidMappings: mapping,
		Credential: &syscall.Credential{NoSetGroups: true},
	}, "SSMONITOR_TEST_SAVE=1")
	if want := stateAt(1, 1).In; found.Err != "" || found.In != want {
		t.Errorf("got %v, want %v", found, want)
	}
}

// TestTheGroupMayRead reads as a member of the group, who can't write anything,
// while the agent runs and while it does not.
func TestTheGroupMayRead(t *testing.T) {
	directory := groupDirectory(t)
	want := func(when string, n uint64) {
		t.Helper()
		before := snapshot(t, directory)
		found := readAs(t, directory, readerGroup)
		if in := stateAt(n, 3).In; found.Err != "" || found.In != in {
			t.Errorf("%s: got %+v, want %v", when, found, in)
		}
		if after := snapshot(t, directory); len(after) != len(before) {
			t.Errorf("%s: the reader left files", when)
		}
		if found := readAs(t, directory); !strings.Contains(found.Err, "permission denied") {
			t.Errorf("%s: a user outside the group got %+v", when, found)
		}
	}
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 3))
	awaitBackup(s)
	want("running", 1)
	save(t, s, stateAt(2, 3))
	want("running, after another save", 2)
	checkpoint(t, s.db)
	want("after a checkpoint", 2)
	save(t, s, stateAt(3, 3))
	want("when the log starts again", 3)

	// A killed agent leaves its log and an index.
	stopBackup(s)
	files := snapshot(t, directory)
	closeStore(t, s)
	want("stopped", 3)
	for name, content := range files {
		writeAll(t, filepath.Join(directory, name), []byte(content))
	}
	want("killed", 3)
	if err := os.Remove(filepath.Join(directory, databaseName+"-shm")); err != nil {
		t.Fatal(err)
	}
	s, state, _ := open(t, directory)
	wantState(t, state, stateAt(3, 3))
	closeStore(t, s)
	for _, name := range siblings(databaseName)[1:] { // as sqlite3 removes them when root closes the database
		_ = os.Remove(filepath.Join(directory, name))
	}
	want("without log and index", 3)
	wantSound(t, directory) // as root, who must not leave files that belong to root
	want("after root has read", 3)
	s, _, _ = open(t, directory)
	want("opened again", 3)
	closeStore(t, s)
}

// TestReadersDoNotDelaySaves keeps reading and backing up while a store saves.
func TestReadersDoNotDelaySaves(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 50))
	awaitBackup(s)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	read := func(do func() error) {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	read(func() error {
		report, err := Usage(t.Context(), s.directory, usage.Query{By: usage.ByHour})
		if err != nil {
			return err
		}
		in, _ := sums(report)
		if got := in.Packets / 100; in != stateAt(got, 50).In {
			return fmt.Errorf("got %v, which is the state of no save", in)
		}
		return nil
	})
	read(func() error {
		problems, err := Check(directory)
		if len(problems) > 0 {
			return errors.New(problems[0])
		}
		return err
	})
	read(func() error {
		_, err := s.makeBackup(t.Context())
		return err
	})
	for n := uint64(2); n < 100; n++ {
		save(t, s, stateAt(n, 50))
	}
	close(stop)
	readers.Wait()
	closeStore(t, s)
	wantSound(t, directory)
}

// sqlite runs a query in Debian's sqlite3.
func sqlite(t *testing.T, directory, query string) string {
	t.Helper()
	output, err := exec.Command("sqlite3", "-readonly", filepath.Join(directory, databaseName), query).CombinedOutput()
	if err != nil {
		t.Errorf("sqlite3 %q: %v: %s", query, err, output)
	}
	return strings.TrimSpace(string(output))
}

// TestViews reads the views with Debian's sqlite3, as other programs do.
func TestViews(t *testing.T) {
	testkit.Require(t, "sqlite3")
	directory := t.TempDir()
	options := at(noon)
	s, _, _ := openWith(t, directory, options)
	s.ResolveNames(accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"}, {Number: 20001, Protocols: accounting.TCPAndUDP}})
	save(t, s, stateAt(1, 2))
	if err := s.HandOver(20000, "dave", noon.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	save(t, s, stateAt(3, 2))
	tests := []struct{ query, want string }{
		{"select * from clients order by port, since", "alice|20000|2026-11-24T12:00:00Z|0\ndave|20000|2026-11-25T12:00:00Z|1\n20001|20001|2026-11-24T12:00:00Z|1"},
		{"select * from usage_hourly order by client, protocol limit 2", "2026-11-24T12:00:00Z|1795521600|20001|20001|tcp|6000|6000|3|6\n2026-11-24T12:00:00Z|1795521600|20001|20001|udp|6000|6000|3|6"},
		{"select * from usage_daily where client = 'dave' and protocol = 'tcp'", "2026-11-24|1795478400|dave|20000|tcp|2000|2000|2|4"},
		{"select period, time, sum(bytes_in), sum(packets_out) from usage_monthly", "2026-11-01|1793491200|18000|24"},
	}
	for _, running := range []bool{true, false} {
		for _, test := range tests {
			if got := sqlite(t, directory, test.query); got != test.want {
				t.Errorf("%s (running: %t)\n got %s\nwant %s", test.query, running, got, test.want)
			}
		}
		if running {
			closeStore(t, s)
		}
	}
	wantSound(t, directory)
}

// TestUsageEndsWithItsContext has a caller who leaves before the first row.
func TestUsageEndsWithItsContext(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	save(t, s, stateAt(1, 3))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Usage(ctx, s.directory, usage.Query{By: usage.ByHour}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if report, err := Usage(t.Context(), s.directory, usage.Query{By: usage.ByHour}); err != nil || len(report.Rows) == 0 {
		t.Errorf("the next one: got %+v, %v", report, err)
	}
}
