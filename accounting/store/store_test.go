package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
)

func TestANewLedgerIsEmpty(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "a", "state")
	if _, _, err := Read(directory); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nothing has been saved in "+directory) {
		t.Errorf("reading: %v", err)
	}
	s, state, notices := open(t, directory)
	if len(notices) > 0 {
		t.Errorf("notices %v", notices)
	}
	wantState(t, state, accounting.State{})
	if report := usage(t, directory, accounting.ByMonth); len(report.Rows) > 0 {
		t.Errorf("usage %v", report.Rows)
	}
	closeStore(t, s)
	wantSound(t, directory)
}

func TestWhatIsSavedIsThereAgain(t *testing.T) {
	directory := t.TempDir()
	for n := range uint64(5) {
		s, state, notices := open(t, directory)
		wantState(t, state, stateAt(n, int(3*min(n, 1))))
		if len(notices) > 0 {
			t.Errorf("notices %v", notices)
		}
		save(t, s, stateAt(n+1, 3))
		read, _, err := Read(directory)
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, read, stateAt(n+1, 3))
		if n%2 == 0 {
			closeStore(t, s)
		} else {
			directory = killed(t, s)
		}
	}
	wantSound(t, directory)
}

// TestExtremeValues saves what no counter reaches in a lifetime.
func TestExtremeValues(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	key := accounting.Key{Port: 65535, Protocol: 255, Direction: accounting.Out}
	want := stateOf(map[accounting.Key]accounting.Account{key: {
		Key: key, Total: accounting.Count{Packets: 1<<63 - 1, Bytes: 1<<63 - 1}, Last: accounting.Count{Packets: 1<<64 - 1, Bytes: 1 << 63},
		Epoch: accounting.Epoch{0: 255, 15: 255}, Handle: 1<<64 - 1,
	}})
	save(t, s, want)
	directory = killed(t, s)
	_, state, _ := open(t, directory)
	wantState(t, state, want)
	wantSound(t, directory)
}

// TestATotalNeverFalls is what a fault in the caller would do.
func TestATotalNeverFalls(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(5, 2))
	if err := s.Save(stateAt(4, 2)); err == nil || !strings.Contains(err.Error(), "already saved") {
		t.Errorf("saving an older state: %v", err)
	}
	save(t, s, stateAt(6, 2))
	wantSound(t, directory)
}

// TestAGainBelongsToItsReading saves readings of several hours at once, of which
// some are saved already.
func TestAGainBelongsToItsReading(t *testing.T) {
	key := accounting.Key{Port: 1, Protocol: accounting.TCP}
	gain := func(hour int, bytes uint64) accounting.Gain {
		return accounting.Gain{Time: noon.Add(time.Duration(hour) * time.Hour), Key: key, Count: accounting.Count{Packets: 1, Bytes: bytes}}
	}
	account := func(bytes uint64) accounting.State {
		return stateOf(map[accounting.Key]accounting.Account{key: {Key: key, Total: accounting.Count{Packets: 1, Bytes: bytes}}})
	}
	tests := []struct {
		name  string
		saved uint64
		total uint64
		gains []accounting.Gain
		want  []uint64 // by hour from noon on
	}{
		{"each in its hour", 0, 111, []accounting.Gain{gain(0, 1), gain(1, 10), gain(2, 100)}, []uint64{1, 10, 100}},
		{"the older ones were saved", 11, 111, []accounting.Gain{gain(0, 1), gain(1, 10), gain(2, 100)}, []uint64{11, 0, 100}},
		{"one was saved in part", 6, 111, []accounting.Gain{gain(0, 1), gain(1, 10), gain(2, 100)}, []uint64{6, 5, 100}},
		{"what no reading explains", 0, 120, []accounting.Gain{gain(0, 1), gain(2, 100)}, []uint64{1, 0, 119}},
		{"no reading at all", 0, 7, nil, []uint64{7}},
		{"a clock that was set back", 0, 11, []accounting.Gain{gain(1, 1), gain(0, 10)}, []uint64{10, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			directory := t.TempDir()
			s, _, _ := open(t, directory)
			if test.saved > 0 {
				save(t, s, account(test.saved))
			}
			state := account(test.total)
			state.Gains = test.gains
			save(t, s, state)
			want := make(map[int64]uint64)
			for hour, bytes := range test.want {
				if bytes > 0 {
					want[noon.Add(time.Duration(hour)*time.Hour).Unix()] = bytes
				}
			}
			rows := usage(t, directory, accounting.ByHour).Rows
			for _, row := range rows {
				if want[row.Start.Unix()] != row.In.Bytes {
					t.Errorf("at %s: %d bytes, want %d", row.Start, row.In.Bytes, want[row.Start.Unix()])
				}
			}
			if len(rows) != len(want) {
				t.Errorf("%d rows, want %d", len(rows), len(want))
			}
			wantSound(t, directory)
		})
	}
}

func TestSaveAfterClose(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	closeStore(t, s)
	closeStore(t, s)
	if err := s.Save(stateAt(1, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestNothingNewIsNotWritten(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	s.mutex.Lock()
	s.stopBackup()
	s.mutex.Unlock()
	before := snapshot(t, directory)
	save(t, s, accounting.State{In: stateAt(1, 1).In})
	s.SetPorts(accounting.Ports{{Number: 20000, Protocols: accounting.OnlyTCP}})
	for name, content := range snapshot(t, directory) {
		if before[name] != content && !strings.HasSuffix(name, "-shm") {
			t.Errorf("%s was written", name)
		}
	}
}

func TestCalendarOptions(t *testing.T) {
	for _, day := range []int{-1, 29, 31} {
		if _, _, _, err := Open(t.TempDir(), Options{MonthDay: day}); err == nil || !strings.Contains(err.Error(), "1 to 28") {
			t.Errorf("day %d: %v", day, err)
		}
	}
	// Who does not say leaves it as it is.
	directory := t.TempDir()
	tehran, err := time.LoadLocation("Asia/Tehran")
	if err != nil {
		t.Fatal(err)
	}
	options := at(noon)
	options.Zone, options.MonthDay = tehran, 7
	s, _, _ := openWith(t, directory, options)
	save(t, s, stateAt(1, 1))
	closeStore(t, s)
	s, _, _ = openWith(t, directory, Options{Holder: "teardown"})
	save(t, s, stateAt(2, 1))
	closeStore(t, s)
	if report := usage(t, directory, accounting.ByMonth); report.Zone.String() != "Asia/Tehran" || report.MonthDay != 7 {
		t.Errorf("the calendar is that of %s, day %d", report.Zone, report.MonthDay)
	}
}

// TestHoursAndDaysAreKeptForTheirTime prunes.
func TestHoursAndDaysAreKeptForTheirTime(t *testing.T) {
	directory := t.TempDir()
	now := noon
	options := at(noon)
	options.Now, options.KeepHours, options.KeepDays = func() time.Time { return now }, 10*time.Hour, 72*time.Hour
	s, _, _ := openWith(t, directory, options)
	for n := range uint64(200) {
		save(t, s, stateAt(n+1, 1))
		now = now.Add(time.Hour)
	}
	save(t, s, stateAt(201, 1))
	first := func(by accounting.Period) time.Time { return usage(t, directory, by).Rows[0].Start }
	if got, want := first(accounting.ByHour), now.Add(-10*time.Hour); !got.Equal(want) {
		t.Errorf("hours begin at %s, want %s", got, want)
	}
	if got := now.Sub(first(accounting.ByDay)); got < 72*time.Hour || got > 96*time.Hour {
		t.Errorf("days begin %s ago", got)
	}
	if got := first(accounting.ByMonth); got.Month() != time.November {
		t.Errorf("months begin at %s", got)
	}
	wantSound(t, directory)
	in, _ := sums(usage(t, directory, accounting.ByTotal))
	if want := stateAt(201, 1).In; in != want {
		t.Errorf("in total %v, want %v", in, want)
	}
}

func TestCheckFindsWhatDiffers(t *testing.T) {
	for _, change := range []string{
		"update usage set bytes_in = bytes_in + 1 where period = 1",
		"update usage set packets_out = packets_out - 1 where period = 2",
		"update account set bytes = bytes + 1 where direction = 1 and protocol = 17",
		"delete from usage where period = 0",
		"insert into pruned values (1, 7, 6, 0, 0, 0, 1)",
	} {
		directory := t.TempDir()
		s, _, _ := open(t, directory)
		save(t, s, stateAt(1, 1))
		if err := s.db.Exec(change); err != nil {
			t.Fatal(err)
		}
		if problems, err := Check(directory); err != nil || len(problems) == 0 {
			t.Errorf("after %q the check finds %v, %v", change, problems, err)
		}
	}
}

func TestFilesBelongToTheDirectorysOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		needRoot(t, "root")
	}
	syscall.Umask(syscall.Umask(0o077)) // what it is does not matter
	directory := t.TempDir()
	if err := os.Chown(directory, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	check := func() {
		t.Helper()
		for name := range snapshot(t, directory) {
			information, err := os.Stat(filepath.Join(directory, name))
			if err != nil {
				t.Fatal(err)
			}
			owner := information.Sys().(*syscall.Stat_t)
			if owner.Uid != 1234 || owner.Gid != 2345 || information.Mode() != fileMode {
				t.Errorf("%s is of %d:%d with mode %s", name, owner.Uid, owner.Gid, information.Mode())
			}
		}
	}
	check()
	closeStore(t, s)
	check()
	for _, name := range []string{databaseName + "-wal", databaseName + "-shm"} {
		if err := os.Remove(filepath.Join(directory, name)); err != nil {
			t.Error(err)
		}
	}
	if err := NewClient(directory, 20000, "dave", noon); err != nil {
		t.Error(err)
	}
	check()
}

func TestLinksAndPipesAreRefused(t *testing.T) {
	for _, name := range []string{databaseName, backupName, lockName} {
		directory := t.TempDir()
		target := filepath.Join(t.TempDir(), "target")
		writeAll(t, target, []byte("mine"))
		if err := os.Symlink(target, filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
		s, _, _, err := Open(directory, at(noon))
		if err == nil {
			_ = s.Save(stateAt(1, 1))
			_ = s.Close()
		}
		if content := string(readAll(t, target)); content != "mine" {
			t.Errorf("%s: the link was followed: %q", name, content)
		}
		fifo := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(fifo, name), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, _, _, err := Open(fifo, at(noon)); err == nil { // and does not wait
			_ = s.Close()
		}
	}
}

func TestANewerSchemaIsLeftAlone(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	if err := s.db.Exec("pragma user_version = 99"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close() // its backup fails
	before := snapshot(t, directory)
	_, _, _, openErr := Open(directory, at(noon))
	_, _, readErr := Read(directory)
	_, usageErr := Usage(directory, accounting.UsageQuery{By: accounting.ByDay})
	clientErr := NewClient(directory, 20000, "dave", noon)
	for what, err := range map[string]error{"open": openErr, "read": readErr, "usage": usageErr, "client": clientErr} {
		var newer *NewerError
		if !errors.As(err, &newer) || newer.Version != 99 || newer.Supported != len(migrations) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := snapshot(t, directory); after[databaseName] != before[databaseName] || after[databaseName+"-wal"] != before[databaseName+"-wal"] {
		t.Error("the database was changed")
	}
}

func TestPurgeRemovesExactlyOurFiles(t *testing.T) {
	directory := t.TempDir()
	if err := Purge(filepath.Join(directory, "missing")); err != nil {
		t.Error(err)
	}
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	if err := Purge(directory); !errors.As(err, new(*LockedError)) {
		t.Errorf("purging under an agent: %v", err)
	}
	closeStore(t, s)
	others := []string{"notes", "ssmonitor.database", "ssmonitor.db.old", "lock2"}
	for _, name := range append([]string{"ssmonitor.db.new", "ssmonitor.db.new-wal", "ssmonitor.db.damaged-20260101T000000Z-shm", "ssmonitor.backup.db.new-journal"}, others...) {
		writeAll(t, filepath.Join(directory, name), nil)
	}
	if err := Purge(directory); err != nil {
		t.Fatal(err)
	}
	var left []string
	for name := range snapshot(t, directory) {
		left = append(left, name)
	}
	if slices.Sort(left); !slices.Equal(left, slices.Sorted(slices.Values(others))) {
		t.Errorf("left are %v, want %v", left, others)
	}
}

// TestMovedFiles removes and replaces what a running store has open.
func TestMovedFiles(t *testing.T) {
	remove := func(names ...string) func(t *testing.T, directory string) {
		return func(t *testing.T, directory string) {
			for _, name := range names {
				if err := os.Remove(filepath.Join(directory, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tests := []struct {
		name string
		do   func(t *testing.T, directory string)
	}{
		{"the database", remove(databaseName)},
		{"the log", remove(databaseName + "-wal")},
		{"the index", remove(databaseName + "-shm")},
		{"all of them", remove(databaseName, databaseName+"-wal", databaseName+"-shm")},
		{"the lock, too", remove(databaseName, lockName)},
		{"the directory", func(t *testing.T, directory string) {
			if err := os.RemoveAll(directory); err != nil {
				t.Fatal(err)
			}
		}},
		{"replaced by another ledger", func(t *testing.T, directory string) {
			other := t.TempDir()
			s, _, _ := open(t, other)
			save(t, s, stateAt(2, 1))
			restore(t, directory, snapshot(t, killed(t, s)))
		}},
		{"replaced by something else", func(t *testing.T, directory string) {
			remove(databaseName)(t, directory)
			writeAll(t, filepath.Join(directory, databaseName), []byte("not a database"))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			directory := filepath.Join(t.TempDir(), "state")
			s, _, _ := open(t, directory)
			save(t, s, stateAt(1, 3), stateAt(2, 3))
			test.do(t, directory)
			save(t, s, stateAt(3, 3))
			state, _, err := Read(directory)
			if err != nil {
				t.Fatal(err)
			}
			wantState(t, state, stateAt(3, 3))
			wantSound(t, directory)
			save(t, s, stateAt(4, 3))
			closeStore(t, s)
			s, state, notices := open(t, directory)
			wantState(t, state, stateAt(4, 3))
			if len(notices) > 0 {
				t.Errorf("notices %v", notices)
			}
			if gaps := usage(t, directory, accounting.ByMonth).Gaps; len(gaps) > 0 {
				t.Errorf("gaps %v", gaps)
			}
			closeStore(t, s)
			if err := Purge(directory); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBackup makes one a day and at the end, and goes on from it.
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
		t.Errorf("the first backup is of save %d", got)
	}
	save(t, s, stateAt(2, 2))
	if got := wait(); got != 1 {
		t.Errorf("a second backup is of save %d", got)
	}
	now = now.Add(25 * time.Hour)
	save(t, s, stateAt(3, 2))
	if got := wait(); got != 3 {
		t.Errorf("the next day's backup is of save %d", got)
	}
	save(t, s, stateAt(4, 2))
	directory = killed(t, s)

	writeAll(t, filepath.Join(directory, databaseName), []byte(strings.Repeat("damaged", 1000)))
	options.Now = func() time.Time { return now.Add(time.Hour) }
	s, state, notices := openWith(t, directory, options)
	wantState(t, state, stateAt(3, 2))
	if len(notices) != 2 || notices[0].Lost || !strings.Contains(notices[0].Text, "kept as") || !strings.Contains(notices[1].Text, "backup") {
		t.Errorf("notices %v", notices)
	}
	// The next reading finds all that the counters have gained since.
	save(t, s, stateAt(9, 2), stateAt(10, 2))
	wantSound(t, directory)
	gaps := usage(t, directory, accounting.ByDay).Gaps
	before, after := stateAt(3, 2), stateAt(9, 2)
	want := accounting.UsageGap{
		Since: now.Truncate(time.Second).UTC(), Until: now.Add(time.Hour).Truncate(time.Second).UTC(),
		In: minus(after.In, before.In), Out: minus(after.Out, before.Out),
	}
	if len(gaps) != 1 || gaps[0] != want {
		t.Errorf("gaps %+v, want %+v", gaps, want)
	}
	closeStore(t, s)
	if err := os.Remove(filepath.Join(directory, databaseName)); err != nil {
		t.Fatal(err)
	}
	_, state, notices = openWith(t, directory, options)
	wantState(t, state, stateAt(10, 2))
	if len(notices) != 1 {
		t.Errorf("notices %v", notices)
	}
}

// TestBothAreDamaged begins anew and says so.
func TestBothAreDamaged(t *testing.T) {
	directory := t.TempDir()
	for n := range 2 * maxSetAside {
		s, state, notices := open(t, directory)
		if n > 0 && (len(notices) < 3 || !notices[len(notices)-1].Lost) {
			t.Errorf("notices %v", notices)
		}
		wantState(t, state, accounting.State{})
		save(t, s, stateAt(1, 1))
		closeStore(t, s)
		for _, name := range []string{databaseName, backupName} {
			writeAll(t, filepath.Join(directory, name), []byte(fmt.Sprint("damaged ", n)))
		}
	}
	if kept := snapshot(t, directory); len(kept) > 3*(maxSetAside+2) {
		t.Errorf("%d files are kept", len(kept))
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
	if _, err := s.Usage(accounting.UsageQuery{By: accounting.ByHour}); !errors.Is(err, ErrDamaged) {
		t.Errorf("reading the usage: %v", err)
	}
	save(t, s, stateAt(3, 200))
	state, notices, err := Read(directory)
	if err != nil || len(notices) > 0 {
		t.Fatal(notices, err)
	}
	wantState(t, state, stateAt(3, 200))
	wantSound(t, directory)
	if gaps := usage(t, directory, accounting.ByDay).Gaps; len(gaps) != 1 || gaps[0].In != stateAt(1, 200).In {
		t.Errorf("gaps %v", gaps)
	}
}
