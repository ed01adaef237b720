// Package sqlitefile opens SQLite databases that others may have written, in
// directories where others may write. Nothing in them can run SQL of its own, use
// unbounded memory or time, block us, or crash the process.
package sqlitefile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// maxMemory is the memory of a connection in bytes, of which an ordinary one needs 4
// to 8 MB.
const maxMemory = 96 << 20

// limits are far above what a database of ours or of a panel needs, and so low that
// no single step takes long.
var limits = map[sqlite3.LimitCategory]int{
	sqlite3.LIMIT_LENGTH:              8 << 20, // the settings of an inbound with 20,000 clients
	sqlite3.LIMIT_SQL_LENGTH:          256 << 10,
	sqlite3.LIMIT_COLUMN:              200,
	sqlite3.LIMIT_EXPR_DEPTH:          100,
	sqlite3.LIMIT_COMPOUND_SELECT:     10,
	sqlite3.LIMIT_VDBE_OP:             100_000,
	sqlite3.LIMIT_FUNCTION_ARG:        20,
	sqlite3.LIMIT_ATTACHED:            1,  // VACUUM attaches its copy
	sqlite3.LIMIT_LIKE_PATTERN_LENGTH: 20, // ALTER TABLE uses some of 11
	sqlite3.LIMIT_VARIABLE_NUMBER:     100,
	sqlite3.LIMIT_TRIGGER_DEPTH:       1,
	sqlite3.LIMIT_WORKER_THREADS:      0,
	sqlite3.LIMIT_PARSER_DEPTH:        200,
}

// switches turn off what runs SQL from the file.
var switches = map[sqlite3.DBConfig]bool{
	sqlite3.DBCONFIG_DEFENSIVE:      true,
	sqlite3.DBCONFIG_TRUSTED_SCHEMA: false,
	sqlite3.DBCONFIG_ENABLE_VIEW:    false,
	sqlite3.DBCONFIG_ENABLE_TRIGGER: false,
}

const pragmas = "pragma cache_size = -2000; pragma temp_store = memory; pragma cell_size_check = on; pragma ignore_check_constraints = on"

// Conn is a connection to a database. All use of it goes through [Conn.Guard].
type Conn struct {
	*sqlite3.Conn
	files    []any // that SQLite has open
	readOnly bool
	failure  error // ErrFault or ErrPanic: what SQLite was doing is unknown
}

// Open opens an existing database. The parameters are those of SQLite's URIs: mode is
// ro or rw. The context ends all use of the connection. Open fails with ErrNotRegular
// for anything but a regular file, at the path or beside it.
func Open(ctx context.Context, path string, parameters url.Values) (conn *Conn, err error) {
	file, err := OpenRegular(path, os.O_RDONLY) // SQLite's own errors don't name what is there
	if err != nil {
		return nil, err
	}
	_ = file.Close()
	for _, name := range With(path)[1:] {
		if err := checkRegular(name); err != nil {
			return nil, err
		}
	}
	conn = &Conn{readOnly: parameters.Get("mode") == "ro"}
	if err = conn.Guard(func() error { return conn.open(ctx, path, parameters) }); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Conn) open(ctx context.Context, path string, parameters url.Values) (err error) {
	name := URI(path, parameters)
	c.Conn, err = sqlite3.OpenContext(sqlite3.WithMaxMemory(ctx, maxMemory), name) //nolint:forbidigo // this is the one place
	if err != nil {
		return err
	}
	c.SetInterrupt(ctx)
	c.note(sqlite3.FCNTL_FILE_POINTER)
	for limit, most := range limits {
		c.Limit(limit, most)
	}
	for option, on := range switches {
		if got, err := c.Config(option, on); err != nil || got != on {
			return fmt.Errorf("option %d of SQLite: %w", option, cmp.Or(err, error(sqlite3.MISUSE)))
		}
	}
	return c.Exec(pragmas)
}

// Loaded notes that SQLite has read from the database, after which it may have the
// log open.
func (c *Conn) Loaded() { c.note(sqlite3.FCNTL_JOURNAL_POINTER) }

// note notes a file that SQLite has open.
func (c *Conn) note(which sqlite3.FcntlOpcode) {
	if c.Failed() {
		return
	}
	if file, err := c.FileControl("main", which); err == nil && file != nil {
		c.files = append(c.files, file)
	}
}

// URI returns the name of a file for SQLite. Its parameters need not name our file
// system.
func URI(path string, parameters url.Values) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	all := url.Values{}
	maps.Copy(all, parameters)
	all.Set("vfs", cmp.Or(all.Get("vfs"), vfsName))
	return (&url.URL{Scheme: "file", Path: absolute, RawQuery: all.Encode()}).String()
}

// Guard is as the function [Guard], for what uses the connection. After a panic the
// connection can only be closed.
func (c *Conn) Guard(do func() error) error {
	err := Guard(do)
	c.Fail(err)
	return err
}

// Fail records an error of [Guard].
func (c *Conn) Fail(err error) {
	if errors.Is(err, ErrFault) || errors.Is(err, ErrPanic) {
		c.failure = err
	}
}

// Failed reports whether the connection can only be closed.
func (c *Conn) Failed() bool { return c.failure != nil }

// Close closes the connection and its statements. Everything that was committed is
// durable.
func (c *Conn) Close() error {
	if c.Conn == nil {
		return nil
	}
	// After a panic, closing a connection that can write could write anything. A
	// connection that only reads is closed to free its memory.
	err := c.failure
	if err == nil || (errors.Is(err, ErrPanic) && c.readOnly) {
		err = Guard(c.closeAll)
	}
	if err != nil {
		c.forsake()
	}
	return err
}

func (c *Conn) closeAll() error {
	for _, statement := range slices.Collect(c.Stmts()) {
		_ = Guard(statement.Close) // an open one would keep the connection open
	}
	return c.Conn.Close()
}

// forsake closes the files of a connection without calling SQLite. The memory of the
// connection is not freed. Since the index stays mapped into it, closing the index
// releases no lock.
func (c *Conn) forsake() {
	for _, file := range c.files {
		if sharing, ok := file.(vfs.FileSharedMemory); ok {
			unlockIndex(sharing.SharedMemory())
		}
		if closer, ok := file.(io.Closer); ok {
			_ = closer.Close()
		}
	}
	c.Conn = nil
}

// unlockIndex releases all locks of a log's index.
func unlockIndex(index vfs.SharedMemory) {
	if file, ok := index.(interface{ Fd() uintptr }); ok {
		_ = syscall.FcntlFlock(file.Fd(), setLock, &syscall.Flock_t{Type: syscall.F_UNLCK})
	}
}
