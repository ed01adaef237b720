package shadowsocks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/integration/configfile"
)

const (
	databaseSuffix = ".db"
	// maxDatabaseSize is far above any panel's: it keeps its traffic in there.
	maxDatabaseSize = 1 << 30
	// databasePatience bounds a query, which a damaged or hostile database could
	// make endless.
	databasePatience = 3 * time.Second
)

// The inbounds of 3x-ui. SQLite takes the network and the number of clients out
// of the settings; the passwords among them stay there.
const queryInbounds = `SELECT port, protocol, remark, listen,
	CASE WHEN json_valid(settings) THEN json_extract(settings, '$.network') END,
	CASE WHEN json_valid(settings) THEN json_array_length(settings, '$.clients') END
FROM inbounds WHERE enable %s ORDER BY id`

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
	ctx, cancel := context.WithTimeout(context.Background(), databasePatience)
	defer cancel()
	c := collector{options: options, form: Form3XUI}
	mode := "mode=ro"
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		if mode, err = quietMode(path); err != nil {
			return Config{}, err
		}
	}
	err = c.query(ctx, path, mode)
	if errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.READONLY) {
		// A write-ahead log needs a file beside it, which can't be written here.
		c = collector{options: options, form: Form3XUI}
		if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
			c.note("the write-ahead log can't be read here, so that recent changes may be missing")
		}
		err = c.query(ctx, path, "immutable=1")
	}
	if err != nil {
		return Config{}, fmt.Errorf("%s: as %s: %w", path, Form3XUI, databaseError(err))
	}
	config, err := c.config()
	if err != nil {
		return Config{}, fmt.Errorf("%s: as %s: %w", path, Form3XUI, err)
	}
	return config, nil
}

// quietMode returns how to read a database without a write-ahead log. If it is
// in write-ahead mode, nobody has it open, and SQLite would leave a log and a
// file of locks behind.
func quietMode(path string) (string, error) {
	const writeAhead, at = 2, 19 // the read version: https://www.sqlite.org/fileformat.html
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	header := make([]byte, at+1)
	if n, err := file.ReadAt(header, 0); n == len(header) && err == nil && header[at] == writeAhead {
		return "immutable=1", nil
	}
	return "mode=ro", nil
}

// databaseError keeps SQLite's word for what failed. Its message can quote
// content.
func databaseError(err error) error {
	var failed *sqlite3.Error
	if !errors.As(err, &failed) {
		return err
	}
	if failed.Code() == sqlite3.ERROR {
		return fmt.Errorf("there is no table inbounds with port, protocol and remark in it: %w", ErrFormat)
	}
	return fmt.Errorf("%w: want an SQLite database", failed.Code())
}

func (c *collector) query(ctx context.Context, path, mode string) (err error) {
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: mode}).String()
	connection, err := sqlite3.OpenFlags(name, sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, connection.Close()) }()
	connection.SetInterrupt(ctx)
	if err := connection.Exec("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON; PRAGMA cache_size = -2000"); err != nil {
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
	defer func() { err = cmp.Or(err, statement.Close()) }()
	for row := 0; statement.Step(); row++ {
		if err := c.addInbound(statement, fmt.Sprintf("inbound %d", row+1)); err != nil {
			return err
		}
	}
	return statement.Err()
}

// thisNode returns the condition that keeps out the inbounds of other hosts,
// which newer versions have.
func thisNode(connection *sqlite3.Conn) (condition string, err error) {
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
