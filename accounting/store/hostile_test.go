package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/sqlitefile"
	"ssmonitor/internal/testkit"
)

// byRoot are what root does in the directory of the agent's user.
var byRoot = map[string]func(directory string) error{
	"read": func(directory string) error { _, _, err := read(directory, ""); return err },
	"Usage": func(directory string) error {
		_, err := Usage(context.Background(), directory, usage.Query{By: usage.ByDay})
		return err
	},
	"Clients": func(directory string) error { _, err := Clients(context.Background(), directory); return err },
	"Check":   func(directory string) error { _, err := Check(directory); return err },
	"Holder":  func(directory string) error { _, err := Holder(directory); return err },
	"Open": func(directory string) error {
		s, _, _, err := Open(directory, at(noon))
		if err == nil {
			err = errors.Join(s.Save(stateAt(3, 2)), s.Close())
		}
		return err
	},
}

func saved(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return directory
}

// The agent's user can put anything beside the database. Neither reading the ledger
// nor removing the table of counters, and the package, may wait for it.
func TestRootWaitsForNothingInTheDirectory(t *testing.T) {
	places := map[string]func(path string) error{
		"a FIFO":   func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"a link":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"a socket": func(path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o666, 0) },
	}
	names := []string{lockName, backupName, databaseName + newSuffix}
	names = append(append(names, sqlitefile.With(databaseName)...), sqlitefile.With(backupName)[1:]...)
	for kind, place := range places {
		for _, name := range names {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				source := snapshot(t, saved(t))
				for what, do := range byRoot {
					directory := t.TempDir()
					restore(t, directory, source)
					_ = os.Remove(filepath.Join(directory, name))
					if err := place(filepath.Join(directory, name)); err != nil {
						t.Fatal(err)
					}
					err := testkit.InTime(t, what, func() error { return do(directory) })
					if err != nil && !strings.Contains(err.Error(), directory) {
						t.Errorf("%s: %v, want an error that names the file", what, err)
					}
					beside := strings.HasPrefix(name, databaseName+"-")
					if beside && what != "Holder" && !errors.Is(err, sqlitefile.ErrNotRegular) {
						t.Errorf("%s: got %v, want that the file is not regular", what, err)
					}
					if err := testkit.InTime(t, "Purge", func() error { return Purge(directory) }); err != nil && name != lockName {
						t.Errorf("Purge: %v", err)
					}
				}
			})
		}
	}
}

// What is beside the database of a running agent is replaced while it runs.
func TestNothingReplacedMeanwhileIsWaitedFor(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		t.Run(suffix, func(t *testing.T) {
			s, _, _ := open(t, t.TempDir())
			save(t, s, stateAt(1, 2))
			_ = os.Remove(s.path + suffix)
			if err := syscall.Mkfifo(s.path+suffix, 0o666); err != nil {
				t.Fatal(err)
			}
			_ = testkit.InTime(t, "Save", func() error { return s.Save(stateAt(2, 2)) })
			_ = testkit.InTime(t, "Close", s.Close)
		})
	}
}

// os.Truncate would truncate what a link leads to.
func TestRenewingTheIndexFollowsNoLink(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	save(t, s, stateAt(1, 2))
	victim := filepath.Join(t.TempDir(), "victim")
	writeAll(t, victim, []byte("of somebody else"))
	if err := errors.Join(os.Remove(s.path+"-shm"), os.Symlink(victim, s.path+"-shm")); err != nil {
		t.Fatal(err)
	}
	if err := s.db.renewIndex(); err == nil {
		t.Error("it followed a link")
	}
	if got := string(readAll(t, victim)); got != "of somebody else" {
		t.Errorf("the victim has %q", got)
	}
}

// alter changes the database by SQL, as its owner can.
func alter(t *testing.T, directory, sql string) {
	t.Helper()
	conn, err := sqlite3.Open(sqlitefile.URI(filepath.Join(directory, databaseName), nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Exec(sql), conn.Close()); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// The agent's user can put SQL into the database, which root's reading and writing
// would run.
func TestNoSQLOfTheDatabaseRuns(t *testing.T) {
	const endless = "(with recursive n(i) as (select 1 union all select i from n) select count(*) from n)"
	const huge = "hex(zeroblob(400000000))"
	rewrite := func(from, to string) string {
		return fmt.Sprintf("pragma writable_schema = on; update sqlite_schema set sql = replace(sql, '%s', '%s'); pragma writable_schema = off", from, to)
	}
	for name, test := range map[string]struct {
		sql     string
		refused bool // otherwise it does not matter
	}{
		"a view":             {"drop table account; create view account as select 1 port, 6 protocol, 0 direction, 0 packets, 0 bytes, 0 last_packets, 0 last_bytes, x'' epoch, " + endless + " handle", true},
		"a view of ours":     {"drop view usage_daily; create view usage_daily as select " + endless, false},
		"a virtual table":    {"pragma writable_schema = on; update sqlite_schema set sql = 'CREATE VIRTUAL TABLE tenure USING dbstat(main)' where name = 'tenure'", true},
		"a computed column":  {rewrite("name text not null,", "name text as ("+huge+"),"), true},
		"a default":          {rewrite("name text not null,", "name text default ("+huge+"),"), true},
		"a trigger":          {"create trigger endless after update on ledger begin select " + endless + "; end", false},
		"an index":           {"create index huge on tenure (instr(name, '1'))", true},
		"a partial index":    {"create index huge on tenure (name) where instr(name, '1')", true},
		"an ordinary index":  {"create index other on tenure (name)", false},
		"a check":            {rewrite("source_name text not null", "source_name text not null check (length("+huge+") > 0)"), false},
		"a view of the user": {"create view mine as select " + endless, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := saved(t)
			if err := os.Remove(filepath.Join(directory, backupName)); err != nil {
				t.Fatal(err)
			}
			alter(t, directory, test.sql)
			path := filepath.Join(directory, databaseName)
			for _, what := range []string{"read", "Usage", "Check", "Open"} {
				err := testkit.InTime(t, what, func() error { return byRoot[what](directory) })
				unused := name == "a view" && what == "Usage" // which does not read the accounts
				if test.refused && what != "Open" && !unused && (err == nil || !strings.Contains(err.Error(), path)) {
					t.Errorf("%s: got %v, want an error that names the file", what, err)
				}
				if !test.refused && err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func TestAStatementEnds(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	save(t, s, stateAt(1, 2))
	s.db.deadline.patience = 100 * time.Millisecond
	err := testkit.InTime(t, "the statement", func() error {
		return s.db.run("with recursive n(i) as (select 1 union all select i from n) select count(*) from n", nil)
	})
	if !errors.Is(err, sqlite3.INTERRUPT) {
		t.Errorf("got %v, want an interrupt", err)
	}
	s.db.deadline.patience = statementPatience
	save(t, s, stateAt(2, 2)) // the time of one statement is not that of the next
}

func TestRowsAreBounded(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	save(t, s, stateAt(1, 2))
	s.db.maxRows = 1000
	err := s.db.run("with recursive n(i) as (select 1 union all select i from n) select i from n", nil)
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want that it is damaged", err)
	}
}

// A panic of the driver is an error, after which the ledger is opened again.
func TestAPanicOfTheDriverIsAnError(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	save(t, s, stateAt(1, 2))
	err := s.closeAfterFault(func() error {
		if err := s.db.Exec("begin immediate; delete from account"); err != nil {
			return err
		}
		panic("sqlite3: out of memory")
	})
	if !errors.Is(err, sqlitefile.ErrPanic) || !strings.Contains(err.Error(), s.path) {
		t.Errorf("got %v, want an error that names the database", err)
	}
	save(t, s, stateAt(2, 2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantState(t, lastSave(t, s.directory), stateAt(2, 2))
}
