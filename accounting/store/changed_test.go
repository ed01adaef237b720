package store

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/sqlitefile"
)

// changes are what others can do to the files of a running store.
var changes = []struct {
	name string
	do   func(t *testing.T, directory string)
}{
	{"the database was removed", removed("")},
	{"the index was removed", removed("-shm")},
	{"all of them were removed", removed("", "-wal", "-shm")},
	{"the lock was removed as well", func(t *testing.T, directory string) {
		removed("")(t, directory)
		if err := os.Remove(filepath.Join(directory, lockName)); err != nil {
			t.Fatal(err)
		}
	}},
	{"the directory was removed", func(t *testing.T, directory string) {
		if err := os.RemoveAll(directory); err != nil {
			t.Fatal(err)
		}
	}},
	{"another ledger replaced it", func(t *testing.T, directory string) {
		other := fast(t)
		s, _, _ := open(t, other)
		save(t, s, stateAt(2, 1))
		restore(t, directory, snapshot(t, killed(t, s)))
	}},
	{"something else replaced it", func(t *testing.T, directory string) {
		removed("")(t, directory)
		writeAll(t, filepath.Join(directory, databaseName), []byte("not a database"))
	}},
	{"the log is empty", truncated(0, "-wal")},
	{"the log is cut off", truncated(5000, "-wal")},
	{"the log's header is cut off", truncated(20, "-wal")},
	{"the log is zero", overwritten(0, 1<<20, "-wal")},
	{"the log's header is zero", overwritten(0, 32, "-wal")},
	{"the log's salts are zero", overwritten(16, 8, "-wal")},
	{"the end of the log is zero", overwritten(-1000, 1000, "-wal")},
	{"the log's first frames are zero", overwritten(3000, 2000, "-wal")},
	{"the index is empty", truncated(0, "-shm")},
	{"the index is cut off", truncated(4096, "-shm")},
	{"the index is zero", overwritten(0, 1<<20, "-shm")},
	{"the log and the index are empty", truncated(0, "-wal", "-shm")},
	{"the database is empty", truncated(0, "")},
	{"the database is cut off", truncated(9000, "")},
	{"the database is zero", overwritten(0, 1<<20, "")},
	{"the database's header is zero", overwritten(0, 100, "")},
	{"the end of the database is zero", overwritten(-4096, 4096, "")},
	{"a page of the database is damaged", overwritten(3*4096+1, 1000, "")},
	{"the database is another ledger", func(t *testing.T, directory string) {
		other := fast(t)
		s, _, _ := open(t, other)
		save(t, s, stateAt(9, 3))
		closeStore(t, s)
		writeAll(t, filepath.Join(directory, databaseName), readAll(t, filepath.Join(other, databaseName)))
	}},
	{"the database and the log are empty", truncated(0, "", "-wal")},
	{"all of them are empty", truncated(0, "", "-wal", "-shm")},
	{"all of them are zero", overwritten(0, 1<<20, "", "-wal", "-shm")},
	{"the log was removed", removed("-wal")},
	{"a directory is in place of the database", replacedByDirectory("")},
	{"a directory is in place of the log", replacedByDirectory("-wal")},
	{"the log is empty and the index was removed", func(t *testing.T, directory string) {
		truncated(0, "-wal")(t, directory)
		removed("-shm")(t, directory)
	}},
}

func truncated(size int64, suffixes ...string) func(*testing.T, string) {
	return func(t *testing.T, directory string) {
		t.Helper()
		for _, suffix := range suffixes {
			if err := os.Truncate(filepath.Join(directory, databaseName+suffix), size); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// overwritten writes zeros, but no more than the file has bytes. A negative at is
// counted from its end. The last save was in an earlier tick of the kernel's clock.
func overwritten(at, size int, suffixes ...string) func(*testing.T, string) {
	return func(t *testing.T, directory string) {
		t.Helper()
		for _, suffix := range suffixes {
			path := filepath.Join(directory, databaseName+suffix)
			content := readAll(t, path)
			from := at
			if from < 0 {
				from += len(content)
			}
			clear(content[from:min(from+size, len(content))])
			file, err := os.OpenFile(path, os.O_WRONLY, 0) // os.WriteFile would truncate it first
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.Write(content)
			if err := file.Close(); err != nil {
				t.Error(err)
			}
			if err = errors.Join(err, os.Chtimes(path, time.Time{}, time.Now().Add(time.Second))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func removed(suffixes ...string) func(*testing.T, string) {
	return func(t *testing.T, directory string) {
		t.Helper()
		for _, suffix := range suffixes {
			if err := os.Remove(filepath.Join(directory, databaseName+suffix)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func replacedByDirectory(suffix string) func(*testing.T, string) {
	return func(t *testing.T, directory string) {
		t.Helper()
		removed(suffix)(t, directory)
		if err := os.MkdirAll(filepath.Join(directory, databaseName+suffix, "full"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChangedFiles changes the files of a running store, which has saved twice
// since its backup, and perhaps moved the first save into the database. After one
// more save, the store is killed.
func TestChangedFiles(t *testing.T) {
	histories := []struct {
		name string
		last uint64 // save
		do   func(t *testing.T, s *Store)
	}{
		{"with something to save", 3, func(t *testing.T, s *Store) { save(t, s, stateAt(3, 3)) }},
		{"with nothing to save", 2, func(t *testing.T, s *Store) { save(t, s, accounting.State{Read: true}) }},
		{"stopped at once", 2, func(t *testing.T, s *Store) { closeStore(t, s) }},
	}
	for _, change := range changes {
		for _, history := range histories {
			for _, before := range []string{"", ", the log was moved into the database", ", without a backup"} {
				if before != "" && history.last == 2 {
					continue
				}
				t.Run(change.name+", "+history.name+before, func(t *testing.T) {
					directory := fast(t)
					s, _, _ := open(t, directory)
					save(t, s, stateAt(1, 3))
					awaitBackup(s)
					if before == ", without a backup" {
						if err := os.Remove(s.backupPath()); err != nil {
							t.Fatal(err)
						}
						s.backup.size, s.backup.due = 0, noon.Add(backupEvery)
					} else if before != "" {
						checkpoint(t, s.db)
					}
					save(t, s, stateAt(2, 3))
					change.do(t, directory)
					history.do(t, s)
					wantSound(t, directory)
					directory = killed(t, s)
					_, state, notices := open2(t, directory)
					wantState(t, state, stateAt(history.last, 3))
					if len(notices) > 0 {
						t.Errorf("got notices %v", notices)
					}
					wantSound(t, directory)
					in, out := sums(recorded(t, directory, usage.ByMonth))
					moved := strings.HasSuffix(change.name, "removed") || strings.HasSuffix(change.name, "replaced it")
					if gaps := recorded(t, directory, usage.ByMonth).Gaps; moved && len(gaps) > 0 {
						t.Errorf("got gaps %v", gaps) // the files are still open
					}
					if in != state.In || out != state.Out {
						t.Errorf("got usage %v and %v, want %v and %v", in, out, state.In, state.Out)
					}
				})
			}
		}
	}
}

// TestNoCopyUnderARunningStore damages the log and the backup. The totals continue,
// and no line says anything else.
func TestNoCopyUnderARunningStore(t *testing.T) {
	var log strings.Builder
	options := at(noon)
	options.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, _, _ := openWith(t, fast(t), options)
	save(t, s, stateAt(1, 3))
	awaitBackup(s)
	save(t, s, stateAt(2, 3))
	overwritten(3000, 2000, "-wal")(t, s.directory)
	backup := readAll(t, s.backupPath())
	clear(backup[len(backup)-4096:])
	writeAll(t, s.backupPath(), backup)
	save(t, s, stateAt(3, 3))
	if strings.Contains(log.String(), "again at 0") || !strings.Contains(log.String(), "continues with its totals") {
		t.Errorf("got the log\n%s", &log)
	}
	_, state, _ := open2(t, killed(t, s))
	wantState(t, state, stateAt(3, 3))
}

// TestLostLogIsAGap expects what was lost with a log to be recorded.
func TestLostLogIsAGap(t *testing.T) {
	s, _, _ := open(t, fast(t))
	save(t, s, stateAt(1, 3))
	checkpoint(t, s.db)
	save(t, s, stateAt(2, 3))
	truncated(0, "-wal")(t, s.directory)
	save(t, s, stateAt(3, 3), stateAt(4, 3))
	gaps := recorded(t, s.directory, usage.ByMonth).Gaps
	if want := stateAt(1, 3).In; len(gaps) != 1 || gaps[0].In != want {
		t.Errorf("got gaps %v, want one with %v in", gaps, want)
	}
}

// TestIndexIsTruncatedAtAnyTime truncates the index at any moment of a save.
func TestIndexIsTruncatedAtAnyTime(t *testing.T) {
	const rounds, ports = 150, 30
	directory := fast(t)
	var log strings.Builder
	options := at(noon)
	options.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, _, _ := openWith(t, directory, options)
	save(t, s, stateAt(1, ports))
	awaitBackup(s)
	started := time.Now()
	save(t, s, stateAt(2, ports))
	took := time.Since(started)
	for n := uint64(3); n < rounds; n++ {
		var other sync.WaitGroup
		other.Go(func() {
			for started := time.Now(); time.Since(started) < rand.N(took); { // a timer is not precise enough
			}
			_ = os.Truncate(filepath.Join(directory, databaseName+"-shm"), 0)
		})
		save(t, s, stateAt(n, ports))
		other.Wait()
	}
	faults := strings.Count(log.String(), sqlitefile.ErrFault.Error())
	t.Logf("%d faults", faults)
	if faults == 0 {
		t.Error("no truncation met a save")
	}
	save(t, s, stateAt(rounds, ports))
	directory = killed(t, s)
	_, state, _ := open2(t, directory)
	wantState(t, state, stateAt(rounds, ports))
	wantSound(t, directory)
}

// TestChangedBackupIsWrittenAgain damages the backup of a running store.
func TestChangedBackupIsWrittenAgain(t *testing.T) {
	for _, change := range []func(path string) error{
		func(path string) error { return os.Truncate(path, 0) },
		func(path string) error { return os.Truncate(path, 5000) },
		os.Remove,
	} {
		for _, running := range []bool{true, false} {
			s, _, _ := open(t, fast(t))
			save(t, s, stateAt(1, 3))
			awaitBackup(s)
			save(t, s, stateAt(2, 3))
			if !running {
				if _, err := s.makeBackup(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.backup.saves = s.saved.saves
			}
			if err := change(s.backupPath()); err != nil {
				t.Fatal(err)
			}
			if running {
				save(t, s, accounting.State{Read: true})
				awaitBackup(s)
			} else {
				closeStore(t, s)
			}
			directory := s.directory
			abandon(s)
			for _, name := range siblings(filepath.Join(directory, databaseName)) {
				if err := os.Remove(name); err != nil {
					t.Error(err)
				}
			}
			_, state, _ := open2(t, directory)
			wantState(t, state, stateAt(2, 3))
		}
	}
}

// TestStateThatCanNotBeLookedAt has a file in place of the directory for a while.
func TestStateThatCanNotBeLookedAt(t *testing.T) {
	s, _, _ := open(t, fast(t))
	save(t, s, stateAt(1, 3))
	awaitBackup(s)
	away := s.directory + ".away"
	if err := os.Rename(s.directory, away); err != nil {
		t.Fatal(err)
	}
	writeAll(t, s.directory, []byte("a file"))
	save(t, s, stateAt(2, 3))
	if err := errors.Join(os.Remove(s.directory), os.Rename(away, s.directory)); err != nil {
		t.Fatal(err)
	}
	_, state, notices := open2(t, killed(t, s))
	if wantState(t, state, stateAt(2, 3)); len(notices) > 0 {
		t.Errorf("got notices %v", notices)
	}
}

// TestLogMovedByAnotherProgram moves the log into the database by another connection,
// which is no damage. Neither is it one by a program that knows nothing of the checksums
// of pages: the log still has these pages.
func TestLogMovedByAnotherProgram(t *testing.T) {
	for _, checksums := range []bool{true, false} {
		s, _, _ := open(t, fast(t))
		save(t, s, stateAt(1, 3))
		awaitBackup(s)
		save(t, s, stateAt(2, 300))
		page, err := s.db.value("select rootpage from sqlite_schema where name = 'usage'")
		if err != nil {
			t.Fatal(err)
		}
		other, err := openToWrite(s.path, "")
		if err != nil {
			t.Fatal(err)
		}
		checkpoint(t, other)
		other.close()
		if !checksums {
			s.db.renewMark(theDatabase)
			overwritten(int(page)*4096-8, 8, "")(t, s.directory)
		}
		save(t, s, stateAt(3, 300))
		if aside, _ := filepath.Glob(s.path + damagedInfix + "*"); len(aside) > 0 {
			t.Errorf("checksums: %t: got damaged files %v", checksums, aside)
		}
		if gaps := recorded(t, s.directory, usage.ByMonth).Gaps; len(gaps) > 0 {
			t.Errorf("checksums: %t: got gaps %v", checksums, gaps)
		}
		wantSound(t, s.directory)
	}
}
