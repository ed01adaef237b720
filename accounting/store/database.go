package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"math"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/internal/sqlitefile"
)

const (
	// patience is how long a write waits for another process to end its own. Only the
	// holder of the directory writes, so that could be another program.
	patience = 5 * time.Second
	// walLimit is the size to which the write-ahead log is truncated when it
	// starts again.
	walLimit = 4 << 20
	// checkpointAfter is the number of pages in the write-ahead log from which a
	// save is followed by a checkpoint.
	checkpointAfter = 1000
	checkpointMode  = sqlite3.CHECKPOINT_PASSIVE
)

// What no ledger has. A database that somebody has made could have them in a small
// file: pages can have the same children, and rows the same text.
const (
	maxAccounts = 4 << 16   // two protocols and directions of each port
	maxRows     = 4 << 20   // that one query finds
	maxLength   = 128 << 10 // in bytes, of a text
)

// database is an open database and its prepared statements.
type database struct {
	*sqlitefile.Conn
	path       string
	statements map[string]*sqlite3.Stmt
	deadline   *deadline
	maxRows    int               // that one query may find
	version    int               // of the schema
	names      [3]string         // of its files
	files      [3]syscall.Stat_t // when they were opened
	handles    [2]*os.File       // the database and its log, to look at
	mark       mark
}

// The files that a database consists of, as places in lists of them.
const (
	databaseFile = iota
	logFile
	indexFile
)

// siblings are the paths of these files.
func siblings(path string) []string { return sqlitefile.With(path)[:3] }

// readOnly are the parameters of a connection that only reads.
func readOnly() url.Values { return url.Values{"mode": {"ro"}} }

// connect opens an existing database. vfs is the name of a VFS; empty stands for
// the one of package sqlitefile.
func connect(path, vfs string, parameters url.Values) (*database, error) {
	parameters.Set("vfs", vfs)
	limit := &deadline{patience: statementPatience, progress: func() {}}
	conn, err := sqlitefile.Open(limit, path, parameters)
	if err != nil {
		return nil, err
	}
	db := &database{Conn: conn, path: path, statements: make(map[string]*sqlite3.Stmt), deadline: limit, maxRows: maxRows}
	err = db.Guard(func() error {
		if err := conn.BusyTimeout(patience); err != nil {
			return err
		}
		if err := conn.Exec("pragma foreign_keys = on"); err != nil {
			return err
		}
		defer limit.restore(limit.start())
		return db.identify()
	})
	db.Loaded()
	if err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

// openToWrite opens the database for the holder of the directory.
func openToWrite(path, vfs string) (*database, error) {
	// The log and its index are kept when the database is closed, for readers who
	// may not create files. SQLite would create them with the process's own group.
	for _, name := range siblings(path)[1:] {
		file, err := createFile(name)
		if err == nil {
			err = file.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	db, err := connect(path, vfs, url.Values{"mode": {"rw"}})
	if err != nil {
		return nil, err
	}
	if err := db.Guard(db.prepareToWrite); err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

func (db *database) prepareToWrite() error {
	if _, err := db.FileControl("main", sqlite3.FCNTL_PERSIST_WAL, true); err != nil {
		return err
	}
	// Checkpoints are separate from saves: one that fails must not make a
	// durable save fail.
	if err := db.WALAutoCheckpoint(0); err != nil {
		return err
	}
	// A page that is freed is filled with zeros: no name stays in one that was forgotten.
	if err := db.Exec("pragma synchronous = full; pragma secure_delete = on; pragma journal_size_limit = " + strconv.Itoa(walLimit)); err != nil {
		return err
	}
	version, err := db.value("pragma user_version")
	if err != nil {
		return err
	}
	defer db.deadline.restore(db.deadline.start())
	if err := migrate(db.Conn.Conn, int(version)); err != nil {
		return err
	}
	db.version = len(migrations)
	return db.openMarked()
}

// identify fails if the file is not a database of ours, or if a later version
// wrote it.
func (db *database) identify() error {
	id, err := db.value("pragma application_id")
	if err != nil {
		return err
	}
	version, err := db.value("pragma user_version")
	if err != nil {
		return err
	}
	if id != applicationID || version < 1 {
		return damaged("it is not a database of ssmonitor")
	}
	if int(version) > len(migrations) {
		return &NewerError{Path: db.path, Version: int(version), Supported: len(migrations)}
	}
	db.version = int(version)
	// The header records whether pages have checksums: without this check a
	// damaged header would disable all of them.
	if verified, err := db.value("pragma checksum_verification"); err != nil || verified != 1 {
		return errors.Join(err, damaged("its pages have no checksums"))
	}
	db.Limit(sqlite3.LIMIT_LENGTH, maxLength)
	err = db.CheckTables()
	if errors.Is(err, sqlitefile.ErrUnsafeTable) {
		return damaged("%w", err)
	}
	return err
}

// create creates a file under a name that nobody else opens, and fills it.
func create(path, vfs string, fill func(*sqlite3.Conn) error) (err error) {
	file, err := createFile(path)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	conn, err := sqlitefile.Open(context.Background(), path, url.Values{"mode": {"rw"}, "vfs": {vfs}})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, conn.Close()) }()
	return conn.Guard(func() error {
		if err := conn.Exec("pragma synchronous = full"); err != nil {
			return err
		}
		return fill(conn.Conn)
	})
}

func enableChecksums(conn *sqlite3.Conn) error { return conn.EnableChecksums("main") }

// initialize creates our schema in an empty database.
func initialize(conn *sqlite3.Conn) error {
	if err := enableChecksums(conn); err != nil {
		return err
	}
	if err := migrate(conn, 0); err != nil {
		return err
	}
	return conn.Exec("pragma journal_mode = wal")
}

// statement returns a prepared statement and caches it.
func (db *database) statement(text string) (*sqlite3.Stmt, error) {
	if statement := db.statements[text]; statement != nil {
		return statement, nil
	}
	statement, _, err := db.PrepareFlags(text, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, err
	}
	db.statements[text] = statement
	return statement, nil
}

// run executes a statement with numbers, texts or blobs for its parameters, and
// passes each row to visit unless that is nil.
func (db *database) run(text string, visit func(row *sqlite3.Stmt) error, parameters ...any) error {
	statement, err := db.statement(text)
	if err != nil {
		return err
	}
	defer db.deadline.restore(db.deadline.start())
	defer func() { _ = statement.Reset() }() // Err has the error
	for i, parameter := range parameters {
		switch value := parameter.(type) {
		case int64:
			err = statement.BindInt64(i+1, value)
		case string:
			err = statement.BindText(i+1, value)
		case []byte:
			err = statement.BindBlob(i+1, value)
		}
		if err != nil {
			return err
		}
	}
	for rows := 1; statement.Step(); rows++ {
		if rows > db.maxRows {
			return damaged("a query finds more than %d rows", db.maxRows)
		}
		if visit == nil {
			continue
		}
		if err := visit(statement); err != nil {
			return err
		}
	}
	return statement.Err()
}

// value returns the number that a query finds, or 0 if there is no row.
func (db *database) value(text string, parameters ...any) (value int64, err error) {
	err = db.run(text, func(row *sqlite3.Stmt) error {
		value = row.ColumnInt64(0)
		return nil
	}, parameters...)
	return value, err
}

// close closes the database. Everything that was committed is durable.
func (db *database) close() {
	for _, handle := range db.handles {
		_ = handle.Close() // does nothing if there is none
	}
	_ = db.Close()
}

// saves returns how many saves the database has.
func (db *database) saves() (int64, error) { return db.value("select saves from ledger") }

// accounts reads all accounts and the counters that they may return to.
func (db *database) accounts() (found accounts, err error) {
	count, err := db.value("select count(*) from account")
	if err != nil {
		return found, err
	}
	if count > maxAccounts {
		return found, damaged("it has %d accounts", count)
	}
	all := accounting.State{Accounts: make([]accounting.Account, 0, count)}
	err = db.run("select port, protocol, direction, handle, epoch, last_packets, last_bytes, packets, bytes from account",
		func(row *sqlite3.Stmt) error {
			former, err := formerOf(row)
			all.Accounts = append(all.Accounts, accounting.Account{
				Key: former.Key, Last: former.Last, Epoch: former.Epoch, Handle: former.Handle, Total: countAt(row, 7),
			})
			return err
		})
	if err == nil && db.version >= formerVersion {
		err = db.run("select port, protocol, direction, handle, epoch, last_packets, last_bytes from former order by left", func(row *sqlite3.Stmt) error {
			former, err := formerOf(row)
			all.Formers = append(all.Formers, former)
			return err
		})
	}
	found.set(all)
	return found, err
}

// formerOf reads a row whose columns begin with the key, the handle, the epoch and
// the last value of a counter.
func formerOf(row *sqlite3.Stmt) (former accounting.Former, err error) {
	port, protocol, direction := row.ColumnInt64(0), row.ColumnInt64(1), row.ColumnInt64(2)
	if port < 0 || port > math.MaxUint16 || (protocol != int64(accounting.TCP) && protocol != int64(accounting.UDP)) || direction < 0 || direction > 1 {
		return former, damaged("an account of port %d, protocol %d, direction %d", port, protocol, direction)
	}
	former = accounting.Former{
		Key:    accounting.Key{Port: uint16(port), Protocol: accounting.Protocol(protocol), Direction: accounting.Direction(direction)},
		Handle: uint64(row.ColumnInt64(3)), Last: countAt(row, 5),
	}
	if copy(former.Epoch[:], row.ColumnRawBlob(4)) != len(former.Epoch) {
		return former, damaged("the epoch of %s is too short", former.Key)
	}
	return former, nil
}

// countAt reads packets and bytes.
func countAt(row *sqlite3.Stmt, column int) accounting.Count {
	return accounting.Count{Packets: uint64(row.ColumnInt64(column)), Bytes: uint64(row.ColumnInt64(column + 1))}
}
