package shadowsocks_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/testkit"
)

// panel is 3x-ui's database, open and in write-ahead mode as the panel has it.
type panel struct {
	path string
	*sqlite3.Conn
}

func openPanel(t *testing.T) panel {
	t.Helper()
	return openPanelAt(t, filepath.Join(t.TempDir(), "x-ui.db"))
}

func openPanelAt(t *testing.T, path string) panel {
	t.Helper()
	connection, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	p := panel{path, connection}
	p.exec(t, `PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
		CREATE TABLE inbounds (id INTEGER PRIMARY KEY, remark TEXT, enable NUMERIC, listen TEXT, port INTEGER, protocol TEXT, settings TEXT)`)
	return p
}

func (p panel) exec(t *testing.T, sql string) {
	t.Helper()
	if err := p.Exec(sql); err != nil {
		t.Fatal(err)
	}
}

func (p panel) add(t *testing.T, port int, name string) {
	t.Helper()
	p.exec(t, fmt.Sprintf(`INSERT INTO inbounds (remark, enable, listen, port, protocol, settings)
		VALUES ('%s', 1, '', %d, 'shadowsocks', '{"network": "tcp,udp", "password": "%s"}')`, name, port, marker))
}

// ports returns the names of the ports, and the notes.
func (p panel) ports(t *testing.T) (names, notes string) {
	t.Helper()
	config, err := shadowsocks.Read(p.path, shadowsocks.Options{Host: testHost})
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range config.Ports {
		names += port.Name + " "
	}
	return strings.TrimSpace(names), strings.Join(config.Notes, "; ")
}

// The newest inbounds are in the write-ahead log alone while the panel runs.
func TestReadADatabaseInUse(t *testing.T) {
	p := openPanel(t)
	p.add(t, 20000, "alice")
	p.exec(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	p.add(t, 20001, "bob")
	before, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	if names, notes := p.ports(t); names != "alice bob" || notes != "" {
		t.Errorf("got %q with notes %q, want alice and bob", names, notes)
	}
	p.exec(t, "BEGIN IMMEDIATE") // a writer does not keep readers out
	p.add(t, 20002, "carol")
	if names, _ := p.ports(t); names != "alice bob" {
		t.Errorf("during a write: got %q, want alice and bob", names)
	}
	p.exec(t, "ROLLBACK")
	after, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error("the database was written to")
	}
}

func TestReadACopyOfADatabase(t *testing.T) {
	p := openPanel(t)
	p.add(t, 20000, "alice")
	p.exec(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	content, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	// Without its write-ahead log, and where nothing can be created.
	p.path = filepath.Join(t.TempDir(), "x-ui.db")
	if err := os.WriteFile(p.path, content, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(p.path), 0o500); err != nil {
		t.Fatal(err)
	}
	if names, notes := p.ports(t); names != "alice" || notes != "" {
		t.Errorf("got %q with notes %q, want alice", names, notes)
	}
	testkit.WantFiles(t, filepath.Dir(p.path), "x-ui.db")
}
