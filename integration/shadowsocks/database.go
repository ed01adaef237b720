package shadowsocks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/internal/configfile"
	"ssmonitor/internal/sqlitefile"
)

const (
	databaseSuffix = ".db"
	// maxDatabaseSize is far above any panel's: it keeps its traffic in there.
	maxDatabaseSize = 1 << 30
	// databasePatience bounds a query, which a damaged or hostile database could
	// make endless.
	databasePatience = 3 * time.Second
	// maxInbounds bounds the rows, which a damaged or hostile database could make
	// endless. There is one for each port at most, for TCP and for UDP.
	maxInbounds = 2 << 16
)

// readDatabase reads the database of a panel, 3x-ui or s-ui, and writes nothing.
func readDatabase(path string, options Options) (Config, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Config{}, err
	case !info.Mode().IsRegular():
		return Config{}, fmt.Errorf("%s: %w", path, configfile.ErrNotRegular)
	case info.Size() > maxDatabaseSize:
		return Config{}, fmt.Errorf("%s: %w: want at most %d bytes", path, configfile.ErrTooLarge, maxDatabaseSize)
	case info.Size() == 0:
		return Config{}, fmt.Errorf("%s: the file is empty: %w", path, ErrFormat)
	}
	config, err := readInbounds(path, options)
	if err != nil {
		return Config{}, fmt.Errorf("%s: as %s: %w", path, cmp.Or(config.Form, form3XUI).Program, databaseError(err))
	}
	return config, nil
}

// readInbounds reads the database in the file to which the path leads: its log is
// beside that.
func readInbounds(named string, options Options) (Config, error) {
	path, err := filepath.EvalSymlinks(named)
	if err != nil {
		return Config{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), databasePatience)
	defer cancel()
	parameters, err := quietly(path)
	if err != nil {
		return Config{}, err
	}
	c := collector{options: options, form: form3XUI}
	err = c.query(ctx, path, parameters)
	if errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.READONLY) {
		// A write-ahead log needs a file beside it, which can't be written here.
		c = collector{options: options, form: form3XUI}
		if hasLog(path) {
			c.note("the write-ahead log can't be read here, so that recent changes may be missing")
		}
		err = c.query(ctx, path, immutable())
	}
	config := Config{}
	if err == nil {
		c.noteMoved(named)
		config, err = c.config()
	}
	config.Form = c.form
	return config, err
}

func hasLog(path string) bool {
	log, err := os.Lstat(path + "-wal")
	return err == nil && log.Size() > 0
}

// quietly returns how to read a database so that nothing is left beside it. If it is in
// write-ahead mode without a log, nobody has it open, and SQLite would leave a log and
// a file of locks behind.
func quietly(path string) (url.Values, error) {
	const writeAhead, at = 2, 19 // the read version: https://www.sqlite.org/fileformat.html
	parameters := url.Values{"mode": {"ro"}}
	if hasLog(path) {
		return parameters, nil
	}
	file, err := sqlitefile.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	header := make([]byte, at+1)
	if n, err := file.ReadAt(header, 0); n == len(header) && err == nil && header[at] == writeAhead {
		return immutable(), nil
	}
	return parameters, nil
}

func immutable() url.Values { return url.Values{"mode": {"ro"}, "immutable": {"1"}} }

// databaseError keeps SQLite's word for what failed. Its message can quote
// content.
func databaseError(err error) error {
	code, ok := errors.AsType[sqlite3.ErrorCode](err)
	switch {
	case errors.Is(err, sqlitefile.ErrMissingTable), ok && code == sqlite3.ERROR:
		return fmt.Errorf("there is no table inbounds of 3x-ui or s-ui in it: %w; ports can be named with --port", ErrFormat)
	case !ok:
		return err
	case code == sqlite3.INTERRUPT:
		return fmt.Errorf("reading it takes more than %v", databasePatience)
	}
	return code
}

func (c *collector) query(ctx context.Context, path string, parameters url.Values) error {
	connection, err := sqlitefile.Open(ctx, path, parameters)
	if err != nil {
		return err
	}
	err = connection.Guard(func() error { return c.readPanel(connection) })
	return cmp.Or(err, connection.Close())
}
