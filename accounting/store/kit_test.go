package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// noon is the time of most tests.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// at returns options with a stopped clock.
func at(now time.Time) Options {
	return Options{Holder: "run", Zone: time.UTC, Now: func() time.Time { return now }}
}

func open(t testing.TB, directory string) (*Store, accounting.State, []Notice) {
	t.Helper()
	return openWith(t, directory, at(noon))
}

func openWith(t testing.TB, directory string, options Options) (*Store, accounting.State, []Notice) {
	t.Helper()
	s, state, notices, err := Open(directory, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { abandon(s) })
	return s, state, notices
}

// stopBackup stops the running backup.
func stopBackup(s *Store) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.stopBackup()
}

// checkpoint moves the log into the database.
func checkpoint(t testing.TB, db *database) {
	t.Helper()
	if _, _, err := db.WALCheckpoint("main", checkpointMode); err != nil {
		t.Fatal(err)
	}
	db.renewMark(theDatabase)
}

// abandon releases everything without a backup.
func abandon(s *Store) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.stopBackup()
	s.closed = true
	s.release()
}

// awaitBackup waits for the running backup.
func awaitBackup(s *Store) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.backup.done != nil {
		s.endBackup(<-s.backup.done)
	}
}

func save(t testing.TB, s *Store, states ...accounting.State) {
	t.Helper()
	for _, state := range states {
		if err := s.Save(state); err != nil {
			t.Fatal(err)
		}
	}
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// killed returns a directory with what the process would leave if it were killed
// now.
func killed(t testing.TB, s *Store) string {
	t.Helper()
	stopBackup(s)
	directory := fast(t)
	restore(t, directory, snapshot(t, s.directory))
	abandon(s)
	return directory
}

// fast returns a directory in memory, if there is one, for tests that save
// thousands of times.
func fast(t testing.TB) string {
	t.Helper()
	directory, err := os.MkdirTemp("/dev/shm", "ssmonitor-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

// snapshot returns the content of all files of a directory.
func snapshot(t testing.TB, directory string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		files[entry.Name()] = string(readAll(t, filepath.Join(directory, entry.Name())))
	}
	return files
}

// restore makes a directory hold exactly these files.
func restore(t testing.TB, directory string, files map[string]string) {
	t.Helper()
	for name := range snapshot(t, directory) {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		writeAll(t, filepath.Join(directory, name), []byte(content))
	}
}

func readAll(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return content
}

func writeAll(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, fileMode); err != nil {
		t.Fatal(err)
	}
}

// stateAt returns the state of the n-th save: four counters for each port, all of
// which gain something in every save.
func stateAt(n uint64, ports int) (state accounting.State) {
	state.Accounts = make([]accounting.Account, 0, 4*ports)
	for port := range ports {
		for _, protocol := range []accounting.Protocol{accounting.TCP, accounting.UDP} {
			for _, direction := range []accounting.Direction{accounting.In, accounting.Out} {
				key := accounting.Key{Port: uint16(20000 + port), Protocol: protocol, Direction: direction}
				total := accounting.Count{Packets: n * (1 + uint64(direction)), Bytes: n * 1000 * (1 + uint64(port%7))}
				state.Accounts = append(state.Accounts, accounting.Account{
					Key: key, Total: total, Last: total, Epoch: accounting.Epoch{1, 2}, Handle: uint64(port),
				})
				sum := map[accounting.Direction]*accounting.Count{accounting.In: &state.In, accounting.Out: &state.Out}[direction]
				*sum = sum.Plus(total)
			}
		}
	}
	return state
}

func wantState(t testing.TB, got, want accounting.State) {
	t.Helper()
	if got.In != want.In || got.Out != want.Out || !slices.Equal(got.Accounts, want.Accounts) {
		t.Errorf("got state %+v, want %+v", got, want)
	}
}

// lastSave returns the state of the last save, without a notice.
func lastSave(t testing.TB, directory string) accounting.State {
	t.Helper()
	found, notices, err := read(directory, "")
	if err != nil || len(notices) > 0 {
		t.Fatal(notices, err)
	}
	return found.accounts.state()
}

// wantSound expects that the usage adds up to what the totals gained.
func wantSound(t testing.TB, directory string) {
	t.Helper()
	problems, err := Check(directory)
	if err != nil || len(problems) > 0 {
		t.Errorf("Check: got %q, %v, want no problems", problems, err)
	}
}

func recorded(t testing.TB, directory string, by usage.Period) *usage.Records {
	t.Helper()
	records, err := Usage(t.Context(), directory, usage.Query{By: by})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// sums adds up the rows of a report.
func sums(records *usage.Records) (in, out accounting.Count) {
	for _, row := range records.Rows {
		in, out = in.Plus(row.In), out.Plus(row.Out)
	}
	return in, out
}
