package sqlitefile_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/internal/sqlitefile"
	"ssmonitor/internal/testkit"
)

// create makes a database with SQLite's own file system.
func create(t *testing.T, sql string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Exec(sql), conn.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path, mode string) *sqlitefile.Conn {
	t.Helper()
	conn, err := sqlitefile.Open(t.Context(), path, url.Values{"mode": {mode}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const table = "create table t (a); insert into t values (1); "

// SQLite opens the files beside a database when it reads or writes: nobody can put
// something else there in the meantime.
func TestNothingIsWaitedForAfterOpening(t *testing.T) {
	for _, suffix := range []string{"-journal", "-wal", "-shm"} {
		for _, sql := range []string{"select * from t", "insert into t values (2)"} {
			for _, mode := range []string{"delete", "wal"} {
				t.Run(suffix+" "+mode+" "+sql, func(t *testing.T) {
					path := create(t, table+"pragma journal_mode = "+mode)
					conn := open(t, path, "rw")
					_ = os.Remove(path + suffix)
					if err := syscall.Mkfifo(path+suffix, 0o666); err != nil {
						t.Fatal(err)
					}
					_ = testkit.InTime(t, "SQLite", func() error { return conn.Guard(func() error { return conn.Exec(sql) }) })
					_ = testkit.InTime(t, "closing", conn.Close)
				})
			}
		}
	}
}

func TestOpenRegularWaitsForNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, flags := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE} {
		err := testkit.InTime(t, "SQLite", func() error { _, err := sqlitefile.OpenRegular(path, flags); return err })
		if !errors.Is(err, sqlitefile.ErrNotRegular) || !strings.Contains(err.Error(), path) {
			t.Errorf("flags %#x: got %v, want an error that names the FIFO", flags, err)
		}
	}
}

// hotJournal writes a rollback journal that has no pages and belongs to a transaction
// across several databases: https://www.sqlite.org/fileformat.html#rollbackjournal.
func hotJournal(t *testing.T, path, super string) {
	t.Helper()
	const magic = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
	journal := make([]byte, 512)
	copy(journal, magic)
	binary.BigEndian.PutUint32(journal[16:], 2) // pages of the database
	binary.BigEndian.PutUint32(journal[20:], 512)
	binary.BigEndian.PutUint32(journal[24:], 4096)
	sum := uint32(0)
	for _, character := range []byte(super) {
		sum += uint32(character)
	}
	journal = append(binary.BigEndian.AppendUint32(journal, 0x40000000/4096+1), super...)
	journal = binary.BigEndian.AppendUint32(journal, uint32(len(super)))
	journal = append(binary.BigEndian.AppendUint32(journal, sum), magic...)
	if err := os.WriteFile(path+"-journal", journal, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A journal may name any file, which SQLite 3.40 reads and then removes.
func TestAJournalRemovesNoOtherFile(t *testing.T) {
	path := create(t, table)
	for _, victim := range []string{filepath.Join(t.TempDir(), "victim"), path + "-mjABCDEF901"} {
		if err := os.WriteFile(victim, []byte("of somebody else"), 0o600); err != nil {
			t.Fatal(err)
		}
		hotJournal(t, path, victim)
		conn, err := sqlitefile.Open(t.Context(), path, url.Values{"mode": {"rw"}})
		if err == nil {
			err = errors.Join(conn.Guard(func() error { return conn.Exec("select * from t") }), conn.Close())
		}
		if _, missing := os.Stat(victim); missing != nil {
			t.Errorf("a file of somebody else was removed: %v", missing)
		}
		if strings.HasPrefix(victim, path) && !errors.Is(err, sqlite3.CANTOPEN) {
			t.Errorf("got %v, want that SQLite may not open it", err)
		}
	}
}

// The locks are those of SQLite, so that other programs can use the database.
func TestLocksAreThoseOfSQLite(t *testing.T) {
	path := create(t, table)
	theirs, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close() //nolint:errcheck // the test is over
	ours := open(t, path, "rw")
	const write, read = "insert into t values (2)", "select * from t"
	for _, pair := range [][2]func(string) error{{ours.Exec, theirs.Exec}, {theirs.Exec, ours.Exec}} {
		one, other := pair[0], pair[1]
		for _, step := range []struct {
			exec func(string) error
			sql  string
			busy bool
		}{
			{one, "begin immediate; " + write, false},
			{other, read, false}, // beside a writer
			{other, write, true}, // but there is one
			{one, "commit", false},
			{one, "begin; " + read, false},
			{other, "begin; " + write, false},
			{other, "commit", true}, // while somebody reads
			{one, "commit", false},
			{other, "commit", false}, // now it can
			{one, "begin exclusive", false},
			{other, read, true},
			{one, "rollback", false},
			{other, read, false},
		} {
			if err := step.exec(step.sql); errors.Is(err, sqlite3.BUSY) != step.busy || (err != nil && !step.busy) {
				t.Fatalf("%s: %v, want busy: %v", step.sql, err, step.busy)
			}
		}
	}
}

func TestAPanicIsAnError(t *testing.T) {
	err := sqlitefile.Guard(func() error { panic("out of memory") })
	if !errors.Is(err, sqlitefile.ErrPanic) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v, want the panic as an error", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	conn := open(t, create(t, table), "ro")
	many := "select count(*) from (with recursive n(i) as (select 1 union all select i + 1 from n limit 1000000) select printf('%.*c', 1000, 'a') x from n order by x)"
	err := conn.Guard(func() error { return conn.Exec(many) })
	if !errors.Is(err, sqlitefile.ErrPanic) || !conn.Failed() {
		t.Errorf("got %v, want that there is not so much memory", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func TestTheContextEndsAQuery(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := sqlitefile.Open(ctx, create(t, table), url.Values{"mode": {"ro"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	time.AfterFunc(100*time.Millisecond, cancel)
	err = testkit.InTime(t, "SQLite", func() error {
		return conn.Exec("with recursive n(i) as (select 1 union all select i from n) select count(*) from n")
	})
	if !errors.Is(err, sqlite3.INTERRUPT) {
		t.Errorf("got %v, want an interrupt", err)
	}
}

func TestCheckTables(t *testing.T) {
	const shadowed = "pragma writable_schema = on; update sqlite_schema set sql = "
	for _, test := range []struct {
		name, sql string
		reading   bool // is refused as well
	}{
		{"a view", "create view u as select 1; drop table t; create view t as select 1", true},
		{"a computed column", "drop table t; create table t (a, b as (a + 1))", true},
		{"a virtual table", shadowed + "'CREATE VIRTUAL TABLE t USING dbstat(main)'", true},
		{"a default", "drop table t; create table t (a, b default (hex(1)))", false},
		{"an index of an expression", "create index i on t (a + 1)", false},
		{"a partial index", "create index i on t (a) where a > 1", false},
	} {
		conn := open(t, create(t, table+test.sql), "ro")
		err := conn.CheckTable("t")
		if errors.Is(err, sqlitefile.ErrUnsafeTable) != test.reading {
			t.Errorf("%s: reading it: %v", test.name, err)
		}
		if test.name == "a virtual table" && !strings.HasPrefix(err.Error(), `"t" is`) {
			t.Errorf("the module was asked: %v", err)
		}
		if err := conn.CheckTables(); !errors.Is(err, sqlitefile.ErrUnsafeTable) && test.name != "a view" {
			t.Errorf("%s: writing it: %v", test.name, err)
		}
	}
	conn := open(t, create(t, table+"create index i on t (a); create table u (b integer primary key default 1, c text default 'x') strict"), "ro")
	if err := errors.Join(conn.CheckTables(), conn.CheckTable("T"), conn.CheckTable("u")); err != nil {
		t.Errorf("ordinary tables: %v", err)
	}
	if err := conn.CheckTable("v"); !errors.Is(err, sqlitefile.ErrMissingTable) {
		t.Errorf("a table that does not exist: %v", err)
	}
}

// Nothing in a database runs when somebody writes to it.
func TestNoTriggerNoViewNoCheckRuns(t *testing.T) {
	path := create(t, "create table t (a check (a < 5)); create table log (a); create view v as select 1;"+
		"create trigger r after insert on t begin insert into log values (1); end")
	conn := open(t, path, "rw")
	if err := conn.Exec("insert into t values (7)"); err != nil {
		t.Errorf("the check ran: %v", err)
	}
	if err := conn.Exec("select * from v"); err == nil {
		t.Error("the view can be used")
	}
	statement, _, err := conn.Prepare("select count(*) from log")
	if err != nil {
		t.Fatal(err)
	}
	if statement.Step(); statement.ColumnInt(0) != 0 {
		t.Error("the trigger ran")
	}
}
