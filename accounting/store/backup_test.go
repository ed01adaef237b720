package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// TestBackup makes one backup per day and one at the end, and continues from it.
func TestBackup(t *testing.T) {
	directory := t.TempDir()
	now := time.Now()
	options := at(now)
	options.Now = func() time.Time { return now }
	s, _, _ := openWith(t, directory, options)
	wait := func() int64 {
		awaitBackup(s)
		return s.backup.saves
	}
	save(t, s, stateAt(1, 2))
	if got := wait(); got != 1 {
		t.Errorf("first backup: got save %d, want 1", got)
	}
	save(t, s, stateAt(2, 2))
	if got := wait(); got != 1 {
		t.Errorf("no second backup is due: got save %d, want 1", got)
	}
	now = now.Add(25 * time.Hour)
	save(t, s, stateAt(3, 2))
	if got := wait(); got != 3 {
		t.Errorf("next day's backup: got save %d, want 3", got)
	}
	save(t, s, stateAt(4, 2))
	directory = killed(t, s)

	writeAll(t, filepath.Join(directory, databaseName), []byte(strings.Repeat("damaged", 1000)))
	options.Now = func() time.Time { return now.Add(time.Hour) }
	s, state, notices := openWith(t, directory, options)
	wantState(t, state, stateAt(3, 2))
	if len(notices) != 2 || notices[0].Lost || !strings.Contains(notices[0].Text, "kept as") || !strings.Contains(notices[1].Text, "backup") {
		t.Errorf("got notices %v", notices)
	}
	// The next reading finds everything that the counters have gained since.
	save(t, s, stateAt(9, 2), stateAt(10, 2))
	wantSound(t, directory)
	gaps := recorded(t, directory, usage.ByDay).Gaps
	before, after := stateAt(3, 2), stateAt(9, 2)
	want := usage.Gap{
		Since: now.Truncate(time.Second).UTC(), Until: now.Add(time.Hour).Truncate(time.Second).UTC(),
		In: after.In.Minus(before.In), Out: after.Out.Minus(before.Out),
	}
	if len(gaps) != 1 || gaps[0] != want {
		t.Errorf("got gaps %+v, want %+v", gaps, want)
	}
	for _, query := range []usage.Query{{By: usage.ByDay, Until: want.Since}, {By: usage.ByDay, Since: want.Until.Add(time.Second)}} {
		if beside, err := Usage(t.Context(), directory, query); err != nil || len(beside.Gaps) > 0 {
			t.Errorf("%+v: got gaps %+v, %v, want none", query, beside.Gaps, err)
		}
	}
	closeStore(t, s)
	if err := os.Remove(filepath.Join(directory, databaseName)); err != nil {
		t.Fatal(err)
	}
	_, state, notices = openWith(t, directory, options)
	wantState(t, state, stateAt(10, 2))
	if len(notices) != 1 {
		t.Errorf("got notices %v", notices)
	}
}

// TestTotalsOfADamagedDatabase damages a page that no total is in, after the backup.
// The history is that of the backup, or begins anew; no total falls.
func TestTotalsOfADamagedDatabase(t *testing.T) {
	for lost, backup := range map[uint64]bool{1: true, 2: false} {
		s, _, _ := open(t, fast(t))
		save(t, s, stateAt(1, 3))
		awaitBackup(s)
		save(t, s, stateAt(2, 3))
		page, err := s.db.value("select rootpage from sqlite_schema where name = 'gap'")
		if err != nil {
			t.Fatal(err)
		}
		directory := killed(t, s)
		open2(t, directory) // moves the log into the database
		overwritten(int(page-1)*4096, 4096, "")(t, directory)
		if !backup {
			if err := os.Remove(filepath.Join(directory, backupName)); err != nil {
				t.Fatal(err)
			}
		}
		s, state, notices := open(t, directory)
		wantState(t, state, stateAt(2, 3))
		if len(notices) != 2 || notices[0].Lost || notices[1].Lost {
			t.Errorf("got notices %v, want one for the damage and one for the history", notices)
		}
		save(t, s, stateAt(3, 3))
		closeStore(t, s)
		wantSound(t, directory)
		gaps := recorded(t, directory, usage.ByMonth).Gaps
		if want := stateAt(lost, 3).In; len(gaps) != 1 || gaps[0].In != want {
			t.Errorf("got gaps %v, want one with %v in", gaps, want)
		}
	}
}

// TestWithoutAGoodCopyTheLedgerStartsAgain damages the database and the backup.
func TestWithoutAGoodCopyTheLedgerStartsAgain(t *testing.T) {
	directory := t.TempDir()
	for n := range 2 * maxSetAside {
		s, state, notices := open(t, directory)
		if n > 0 && (len(notices) < 3 || !notices[len(notices)-1].Lost) {
			t.Errorf("got notices %v", notices)
		}
		wantState(t, state, accounting.State{})
		save(t, s, stateAt(1, 1))
		closeStore(t, s)
		for _, name := range []string{databaseName, backupName} {
			writeAll(t, filepath.Join(directory, name), []byte(fmt.Sprint("damaged ", n)))
		}
	}
	if kept := snapshot(t, directory); len(kept) > 3*(maxSetAside+2) {
		t.Errorf("got %d files, want at most %d", len(kept), 3*(maxSetAside+2))
	}
}

// TestDamageUnderARunningStore damages pages of usage, which are read only when
// they are written.
func TestDamageUnderARunningStore(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 200))
	awaitBackup(s)
	save(t, s, stateAt(2, 200))
	if _, _, err := s.db.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
		t.Fatal(err)
	}
	content := readAll(t, filepath.Join(directory, databaseName))
	file, err := os.OpenFile(filepath.Join(directory, databaseName), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for at := 4096 + 100; at < len(content); at += 4096 {
		if _, err := file.WriteAt([]byte{content[at] ^ 1}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.db.FileControl("main", sqlite3.FCNTL_RESET_CACHE); err != nil {
		t.Fatal(err)
	}
	if _, err := Usage(t.Context(), s.directory, usage.Query{By: usage.ByHour}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Usage: got %v, want ErrDamaged", err)
	}
	save(t, s, stateAt(3, 200))
	wantState(t, lastSave(t, directory), stateAt(3, 200))
	wantSound(t, directory)
	if gaps := recorded(t, directory, usage.ByDay).Gaps; len(gaps) != 1 || gaps[0].In != stateAt(1, 200).In {
		t.Errorf("got gaps %v", gaps)
	}
}
