package endtoend_test

import (
	"errors"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"

	"github.com/ncruces/go-sqlite3"
)

// TestNewerLedgerIsLeftAlone raises the schema's version as a later program does, which
// keeps the checksums of the pages.
func TestNewerLedgerIsLeftAlone(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.startCounting(t, "--port", "20000=alice").stop(t)
	database := server.stateFile("ssmonitor.db")
	conn, err := sqlite3.Open("file:" + database)
	if err == nil {
		err = errors.Join(conn.Exec("pragma user_version = 99; pragma wal_checkpoint(truncate)"), conn.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	newer := testkit.ReadFile(t, database)
	for _, command := range []string{"usage", "client list", "client new 20000 dave", "run --port 20000", "teardown"} {
		begin(t, server.ssmonitor(nil, strings.Fields(command)...)).expectOneLine(t, database, "version 99", "newer ssmonitor")
	}
	if testkit.ReadFile(t, database) != newer {
		t.Error("the newer database was touched")
	}
}
