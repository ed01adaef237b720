package shadowsocks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
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

// The inbounds of 3x-ui. SQLite takes the network and the number of clients out
// of the settings; the passwords among them stay there.
const queryInbounds = `SELECT port, protocol, remark, listen,
	CASE WHEN json_valid(settings) THEN json_extract(settings, '$.network') END,
	CASE WHEN json_valid(settings) THEN json_array_length(settings, '$.clients') END
FROM inbounds NOT INDEXED WHERE enable %s ORDER BY id`

// readDatabase reads the database of the panel 3x-ui, and writes nothing.
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
		return Config{}, fmt.Errorf("%s: as %s: %w", path, Form3XUI.Program, databaseError(err))
	}
	return config, nil
}

// readInbounds reads the database in the file to which the path leads: its log is
// beside that.
func readInbounds(path string, options Options) (Config, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Config{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), databasePatience)
	defer cancel()
	parameters, err := quietly(path)
	if err != nil {
		return Config{}, err
	}
	c := collector{options: options, form: Form3XUI}
	err = c.query(ctx, path, parameters)
	if errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.READONLY) {
		// A write-ahead log needs a file beside it, which can't be written here.
		c = collector{options: options, form: Form3XUI}
		if hasLog(path) {
			c.note("the write-ahead log can't be read here, so that recent changes may be missing")
		}
		err = c.query(ctx, path, immutable())
	}
	if err != nil {
		return Config{}, err
	}
	return c.config()
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
	case errors.Is(err, sqlitefile.ErrNoTable), ok && code == sqlite3.ERROR:
		return fmt.Errorf("there is no table inbounds with port, protocol and remark in it: %w", ErrFormat)
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
	err = connection.Guard(func() error { return c.addInbounds(connection) })
	return cmp.Or(err, connection.Close())
}

func (c *collector) addInbounds(connection *sqlitefile.Conn) error {
	if err := cmp.Or(connection.Exec("PRAGMA query_only = ON"), connection.CheckTable("inbounds")); err != nil {
		return err
	}
	condition, err := thisNode(connection)
	if err != nil {
		return err
	}
	statement, _, err := connection.Prepare(fmt.Sprintf(queryInbounds, condition))
	if err != nil {
		return err
	}
	for row := 0; statement.Step(); row++ {
		if row == maxInbounds {
			return fmt.Errorf("there are too many inbounds: want at most %d", maxInbounds)
		}
		if err := c.addInbound(statement, fmt.Sprintf("inbound %d", row+1)); err != nil {
			return err
		}
	}
	return statement.Err()
}

// thisNode returns the condition that keeps out the inbounds of other hosts,
// which newer versions have.
func thisNode(connection *sqlitefile.Conn) (condition string, err error) {
	statement, _, err := connection.Prepare("SELECT 1 FROM pragma_table_info('inbounds') WHERE name = 'node_id'")
	if err != nil {
		return "", err
	}
	if statement.Step() {
		condition = "AND node_id IS NULL"
	}
	return condition, cmp.Or(statement.Err(), statement.Close())
}

// addInbound takes one row.
func (c *collector) addInbound(row *sqlite3.Stmt, place string) error {
	if strings.HasPrefix(row.ColumnText(3), "/") || strings.HasPrefix(row.ColumnText(3), "@") {
		return nil // a unix socket
	}
	number, protocol := row.ColumnInt64(0), row.ColumnText(1)
	if number < 1 || number > 65535 {
		return &ValueError{"the port of " + place, "out of range", "a port number from 1 to 65535"}
	}
	protocols := accounting.TCPAndUDP
	if strings.EqualFold(protocol, protocolShadowsocks) {
		network := value{kind: kindText, scalar: row.ColumnText(4)}
		var err error
		if protocols, err = readNetwork(node{place + ": network", &network}, accounting.OnlyTCP); err != nil {
			return err
		}
	} else if c.otherProtocol(protocol, strconv.FormatInt(number, 10)) {
		return nil
	}
	c.share(uint16(number), int(row.ColumnInt64(5)))
	return c.add(place, uint16(number), protocols, row.ColumnText(2))
}
