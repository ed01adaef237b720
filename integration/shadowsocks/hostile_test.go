package shadowsocks_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/sqlitefile"
)

// inTime is more than databases may take that mean harm.
const inTime = 30 * time.Second

// readInTime fails the test if the reading waits for ever.
func readInTime(t *testing.T, path string) (shadowsocks.Config, error) {
	t.Helper()
	type result struct {
		config shadowsocks.Config
		err    error
	}
	done := make(chan result, 1)
	go func() {
		config, err := shadowsocks.Read(path, shadowsocks.Options{Host: testHost})
		done <- result{config, err}
	}()
	select {
	case got := <-done:
		return got.config, got.err
	case <-time.After(inTime):
		t.Fatalf("reading %s hangs", path)
	}
	return shadowsocks.Config{}, nil
}

// craft writes a database with SQL, the last of which may change the schema's text.
func craft(t *testing.T, sql ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x-ui.db")
	connection, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close() //nolint:errcheck // the test is over
	for _, text := range sql {
		if err := connection.Exec(text); err != nil {
			t.Fatalf("%.80s: %v", text, err)
		}
	}
	return path
}

const (
	plainInbounds = `CREATE TABLE inbounds (id INTEGER PRIMARY KEY, remark TEXT, enable NUMERIC, listen TEXT, port INTEGER, protocol TEXT, settings TEXT)`
	oneInbound    = `INSERT INTO inbounds (remark, enable, listen, port, protocol, settings) VALUES ('a', 1, '', 20000, 'shadowsocks', '{}')`
	huge          = `hex(zeroblob(100000000))`
	virtual       = `PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE inbounds USING dbstat(main)'`
	// spin is one step of SQLite's machine, which nothing can interrupt.
	spin = `(printf('%.*c', 100000, 'a') LIKE '%a%a%a%a%a%a%a%a%b')`
)

// rewritten is a schema whose text was changed in the file, as nobody can by SQL that
// SQLite checks.
func rewritten(from, to string) string {
	quote := func(text string) string { return strings.ReplaceAll(text, "'", "''") }
	return fmt.Sprintf(`PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '%s', '%s'); PRAGMA writable_schema = OFF`, quote(from), quote(to))
}

func TestReadRunsNoSQLFromADatabase(t *testing.T) {
	view := func(settings string) string {
		return `CREATE VIEW inbounds AS SELECT 1 AS id, 'a' AS remark, 1 AS enable, '' AS listen, 20000 AS port, 'shadowsocks' AS protocol, ` + settings + ` AS settings`
	}
	for name, path := range map[string]string{
		"a view that is huge":       craft(t, view(huge)),
		"a view of another case":    craft(t, strings.Replace(view(huge), "inbounds", "InBounds", 1)),
		"a view without end":        craft(t, view(`(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n)`)),
		"a computed column":         craft(t, plainInbounds, oneInbound, rewritten("remark TEXT", "remark TEXT AS ("+huge+")")),
		"a column that spins":       craft(t, plainInbounds, oneInbound, rewritten("remark TEXT", "remark TEXT AS ("+spin+")")),
		"a stored column":           craft(t, plainInbounds, oneInbound, rewritten("remark TEXT", "remark TEXT AS ("+huge+") STORED")),
		"a virtual table":           craft(t, plainInbounds, virtual+", rootpage = 0"),
		"a virtual table in hiding": craft(t, plainInbounds, virtual),
		"a view in hiding":          craft(t, plainInbounds, rewritten(plainInbounds, view(huge))),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readInTime(t, path)
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want an error that names the file", err)
			}
			if strings.Contains(err.Error(), "takes more than") || errors.Is(err, sqlitefile.ErrPanic) {
				t.Errorf("it was run: %v", err)
			}
		})
	}
}

// What is computed only when a row is written does not matter to a reader.
func TestReadIgnoresWhatOnlyWritersRun(t *testing.T) {
	for name, statements := range map[string][]string{
		"a default":    {plainInbounds, oneInbound, rewritten("remark TEXT", "remark TEXT DEFAULT ("+huge+")")},
		"a check":      {plainInbounds, oneInbound, rewritten("remark TEXT", "remark TEXT CHECK ("+spin+")")},
		"a trigger":    {plainInbounds, oneInbound, "CREATE TRIGGER t AFTER INSERT ON inbounds BEGIN SELECT " + huge + "; END"},
		"an index":     {plainInbounds, "CREATE INDEX i ON inbounds (id, (" + spin + ")) WHERE id > 5", oneInbound},
		"another view": {plainInbounds, oneInbound, "CREATE VIEW v AS SELECT " + huge},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := readInTime(t, craft(t, statements...))
			if err != nil || len(config.Ports) != 1 {
				t.Errorf("got %v, %v, want one port", config.Ports, err)
			}
		})
	}
}

// A file of some kilobytes can have more rows than anybody can count: pages whose
// children are all the same.
func TestReadEndsInABraidedDatabase(t *testing.T) {
	const page, braided = 512, 8
	path := craft(t, "PRAGMA page_size = 512", plainInbounds, strings.Replace(oneInbound, "1, ''", "0, ''", 1))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	leaf := bytes.Clone(content[page:])
	for i := range braided { // page 2+i: its children are page 3+i
		content = append(content[:page*(1+i)], make([]byte, page)...)
		at := content[page*(1+i):]
		const cells, size = 40, 5
		at[0] = 5 // the interior of a table
		binary.BigEndian.PutUint16(at[3:], cells)
		binary.BigEndian.PutUint16(at[5:], page-cells*size)
		binary.BigEndian.PutUint32(at[8:], uint32(3+i))
		for cell := range cells {
			place := page - (cell+1)*size
			binary.BigEndian.PutUint16(at[12+2*cell:], uint16(place))
			binary.BigEndian.PutUint32(at[place:], uint32(3+i))
			at[place+4] = byte(cell)
		}
	}
	content = append(content, leaf...)
	binary.BigEndian.PutUint32(content[28:], uint32(len(content)/page))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = readInTime(t, path)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "takes more than 3s") {
		t.Errorf("got %v, want that it takes too long", err)
	}
}

// A panic of the driver is an error of the file, and its memory is freed.
func TestReadSurvivesTheDriver(t *testing.T) {
	statements := []string{plainInbounds, oneInbound, "BEGIN"}
	for i := range 250 { // a schema that needs more memory than there is
		statements = append(statements, fmt.Sprintf("CREATE TABLE t%d (c TEXT DEFAULT '%s')", i, strings.Repeat("x", 240_000)))
	}
	path := craft(t, append(statements, "COMMIT")...)
	before := mappings(t)
	for range 5 {
		_, err := readInTime(t, path)
		if !errors.Is(err, sqlitefile.ErrPanic) || !strings.Contains(err.Error(), path) {
			t.Fatalf("got %v, want an error of the file: it is out of memory", err)
		}
	}
	if after := mappings(t); after > before+4 {
		t.Errorf("there are %d mappings, before there were %d: memory leaks", after, before)
	}
}

func mappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(maps, []byte("\n"))
}

func TestReadLimitsLengths(t *testing.T) {
	path := craft(t, plainInbounds, strings.Replace(oneInbound, "'{}'", `'{"method": "' || printf('%.*c', 9000000, 'a') || '"}'`, 1))
	if _, err := readInTime(t, path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error of the file", err)
	}
	path = craft(t, plainInbounds, strings.Replace(oneInbound, "'{}'", `'{"method": "' || printf('%.*c', 7000000, 'a') || '"}'`, 1))
	if _, err := readInTime(t, path); err != nil {
		t.Errorf("settings of 7 MB: %v", err)
	}
}

// Whoever may write beside a database must not keep root waiting, nor lead it
// elsewhere.
func TestReadWaitsForNothingBesideADatabase(t *testing.T) {
	for _, suffix := range []string{"-journal", "-wal", "-shm"} {
		for kind, place := range map[string]func(path string) error{
			"a FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o666) },
			"a directory": func(path string) error { return os.Mkdir(path, 0o777) },
			"a link":      func(path string) error { return os.Symlink("/dev/null", path) },
			"a socket":    func(path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o666, 0) },
		} {
			for _, mode := range []string{"WAL", "DELETE"} {
				t.Run(fmt.Sprint(kind, suffix, mode), func(t *testing.T) {
					path := craft(t, "PRAGMA journal_mode = "+mode, plainInbounds, oneInbound)
					if err := place(path + suffix); err != nil {
						t.Fatal(err)
					}
					_, err := readInTime(t, path)
					if !errors.Is(err, sqlitefile.ErrNotRegular) || !strings.Contains(err.Error(), path+suffix) {
						t.Errorf("got %v, want an error that names %s", err, path+suffix)
					}
				})
			}
		}
	}
}
