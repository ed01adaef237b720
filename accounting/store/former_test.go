package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
)

var formerKey = accounting.Key{Port: 20000, Protocol: accounting.TCP, Direction: accounting.In}

// reads returns the sample of a table with one counter.
func reads(table byte, packets uint64) *accounting.Sample {
	count := accounting.Count{Packets: packets, Bytes: 100 * packets}
	return &accounting.Sample{
		Time: noon, Epoch: accounting.Epoch{table}, Readings: []accounting.Reading{{Key: formerKey, Handle: 1, Count: count}},
	}
}

// readTables has an agent read tables in turn, and save after each.
func readTables(t *testing.T, s *Store, state accounting.State, samples ...*accounting.Sample) {
	t.Helper()
	ledger := accounting.NewLedger(state)
	for _, sample := range samples {
		ledger.Add(sample)
		save(t, s, ledger.Changes())
		ledger.MarkSaved()
	}
}

// wantReading expects what the total is after an agent has read a table.
func wantReading(t *testing.T, state accounting.State, sample *accounting.Sample, packets uint64) {
	t.Helper()
	ledger := accounting.NewLedger(state)
	ledger.Add(sample)
	if total, _ := ledger.Total(formerKey); total.Packets != packets {
		t.Errorf("got %d packets, want %d", total.Packets, packets)
	}
}

// TestFormerTablesReturn reads a second table, ends the store in many ways, and
// continues with the first table.
func TestFormerTablesReturn(t *testing.T) {
	moved := func(names ...string) func(*testing.T, *Store) string {
		return func(t *testing.T, s *Store) string {
			for _, name := range names {
				if err := os.Remove(filepath.Join(s.directory, name)); err != nil {
					t.Fatal(err)
				}
			}
			state := stateAt(1, 1)
			state.Accounts[0].Key.Port = 1
			save(t, s, accounting.State{Accounts: state.Accounts[:1]})
			return killed(t, s)
		}
	}
	tests := []struct {
		name string
		end  func(t *testing.T, s *Store) string
	}{
		{"stopped", func(t *testing.T, s *Store) string { closeStore(t, s); return s.directory }},
		{"killed", func(t *testing.T, s *Store) string { return killed(t, s) }},
		{"continued from the backup", func(t *testing.T, s *Store) string {
			closeStore(t, s)
			writeAll(t, filepath.Join(s.directory, databaseName), []byte("nonsense"))
			return s.directory
		}},
		{"the database was removed", moved(databaseName)},
		{"all of the database was removed", moved(databaseName, databaseName+"-wal", databaseName+"-shm")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, state, _ := open(t, fast(t))
			awaitBackup(s)
			readTables(t, s, state, reads(1, 7), reads(2, 5))
			directory := test.end(t, s)
			_, state, _ = open2(t, directory)
			wantReading(t, state, reads(1, 7), 12)
			wantReading(t, state, reads(1, 9), 14)
			wantReading(t, state, reads(2, 6), 13)
			wantReading(t, state, reads(3, 1), 13)
		})
	}
}

// TestBackupContinuesWithItsFormerTables loses a save in which a table returned.
func TestBackupContinuesWithItsFormerTables(t *testing.T) {
	s, state, _ := open(t, fast(t))
	awaitBackup(s)
	readTables(t, s, state, reads(1, 7), reads(2, 5))
	awaitBackup(s)
	if _, err := s.makeBackup(t.Context()); err != nil {
		t.Fatal(err)
	}
	readTables(t, s, s.saved.accounts.state(), reads(1, 30), reads(2, 50))
	directory := killed(t, s)
	writeAll(t, filepath.Join(directory, databaseName), []byte("nonsense"))
	s, state, _ = open(t, directory)
	wantReading(t, state, reads(2, 51), 58)
	readTables(t, s, state, reads(2, 51), reads(1, 31), reads(2, 52))
	abandon(s)
	_, state, _ = open2(t, directory)
	wantReading(t, state, reads(2, 52), 83)
	wantSound(t, directory)
}

func TestFormerTablesAreForgotten(t *testing.T) {
	now := noon
	options := at(noon)
	options.Now = func() time.Time { return now }
	directory := fast(t)
	s, state, _ := openWith(t, directory, options)
	readTables(t, s, state, reads(1, 7), reads(2, 5))
	ledger := accounting.NewLedger(s.saved.accounts.state())
	for days, want := range map[int]uint64{89: 14, 91: 21} {
		now = noon.AddDate(0, 0, days)
		copied := fast(t)
		restore(t, copied, snapshot(t, directory))
		other, _, _ := openWith(t, copied, options)
		ledger.Add(reads(3, 1))
		changed := ledger.Changes()
		changed.Accounts[0].Total.Packets++
		save(t, other, changed)
		abandon(other)
		_, state, _ := open2(t, copied)
		wantReading(t, state, reads(1, 7), want)
	}
}

func TestFormerTablesAreBounded(t *testing.T) {
	s, state, _ := open(t, fast(t))
	readTables(t, s, state, reads(1, 1), reads(2, 1), reads(3, 1), reads(4, 1))
	if err := s.db.Exec("update former set left = left + substr(hex(epoch), 2, 1)"); err != nil { // one after the other
		t.Fatal(err)
	}
	for limit := int64(4); limit >= 0; limit-- {
		if err := s.db.trimFormers(limit); err != nil {
			t.Fatal(err)
		}
		left, err := s.db.value("select count(*) from former")
		if want := min(3, max(limit, 1)); err != nil || left != want {
			t.Errorf("with a limit of %d: got %d former counters, %v, want %d", limit, left, err, want)
		}
	}
	if last, err := s.db.value("select substr(hex(epoch), 2, 1) from former"); err != nil || last != 3 {
		t.Errorf("got the counters of table %d, %v, want those of the one that was left last, 3", last, err)
	}
}

// firstSchema creates a database as the first version of the program did.
func firstSchema(t *testing.T, path string) {
	t.Helper()
	err := create(path, "", func(conn *sqlite3.Conn) error {
		if err := enableChecksums(conn); err != nil {
			return err
		}
		return conn.Exec(schema + `
			insert into account values (20000, 6, 0, 7, 700, 7, 700, x'01000000000000000000000000000000', 1);
			insert into tenure values (1, 20000, 'alice', 0);
			insert into port values (20000, 1, 'alice');
			insert into period select value, 1795521600, 1795525200, '' from json_each('[0, 1, 2]');
			insert into usage select value, 1795521600, 1, 6, 7, 700, 0, 0 from json_each('[0, 1, 2]');
			update ledger set saves = 1, saved = 1795521700;
			pragma user_version = 1; pragma application_id = 0x73736d6f; pragma journal_mode = wal`)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOlderDatabasesAreMigrated continues from a database and from a backup of the
// first version.
func TestOlderDatabasesAreMigrated(t *testing.T) {
	for _, name := range []string{databaseName, backupName} {
		directory := t.TempDir()
		firstSchema(t, filepath.Join(directory, name))
		found, _, err := read(directory, "")
		if err != nil {
			t.Fatal(err)
		}
		wantReading(t, found.accounts.state(), reads(1, 9), 9)
		s, state, _ := open(t, directory)
		readTables(t, s, state, reads(1, 9), reads(2, 5))
		closeStore(t, s)
		_, state, notices := open2(t, directory)
		if len(notices) > 0 {
			t.Errorf("%s: got notices %v", name, notices)
		}
		wantReading(t, state, reads(1, 10), 15)
		wantSound(t, directory)
	}
}
