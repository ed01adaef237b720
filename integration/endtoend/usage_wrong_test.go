package endtoend_test

import (
	"net/http"
	"os"
	"ssmonitor/internal/testkit"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

func TestWrongCallsOfUsage(t *testing.T) {
	require(t)
	t.Parallel()
	server := newServer(t)
	begin(t, server.ssmonitor(nil, "usage")).expectOneLine(t, 1, "nothing has been saved", server.stateDirectory())
	agent := server.startCounting(t, "--save-interval", "0s", "--port", "20000=alice", "--port", "20001=bob")
	server.sendToItself(t, 20000, 10)
	server.waitUsage(t, map[string]traffic{"alice": loopbackTraffic(10)})
	monthDay := server.settings(t, "month-day: 31\n")
	for _, test := range []struct {
		name      string
		arguments string
		status    int
		words     []string
	}{
		{"unknown client", "usage --client alicia", 2, []string{"alicia", "alice"}},
		{"unknown port", "usage --port 20005", 2, []string{"20005", "client list"}},
		{"no port", "usage --port 0", 2, []string{"port", "1 to 65535"}},
		{"since after until", "usage --since 2026-11 --until 2026-10", 2, []string{"2026-11", "2026-10", "not before"}},
		{"month 13", "usage --since 2026-13", 2, []string{"month 13", "01 to 12"}},
		{"day 31 of November", "usage --until 2026-11-31", 2, []string{"day 31", "30 days"}},
		{"no time", "usage --since yesterday", 2, []string{"yesterday", "2026-11"}},
		{"last and since", "usage --last 7d --since 2026-11", 2, []string{"last", "since"}},
		{"last of no unit", "usage --last 7", 2, []string{"7", "24h"}},
		{"unknown period", "usage --by week", 2, []string{"week", "hour, day, month or total"}},
		{"unknown format", "usage --format xml", 2, []string{"xml", "table, csv, json or html"}},
		{"unknown order", "usage --sort size", 2, []string{"size", "usage, name, in or out"}},
		{"top 0", "usage --top 0", 2, []string{"top", "1 to 65535"}},
		{"argument", "usage alice", 2, []string{"alice", "--help"}},
		{"no limit", "usage --warn lots", 2, []string{"lots", "100GB"}},
		{"no file", "usage --output /nonexistent/usage.html", 1, []string{"/nonexistent"}},
		{"month that begins on day 31", "run --month-day 31 --port 20000", 2, []string{`month-day "31"`, "1 to 28"}},
		{"such a month in the settings", "run --port 20000 --config " + monthDay, 2, []string{"line 1", "month-day", "1 to 28"}},
		{"unknown zone", "run --zone Mars/Base --port 20000", 2, []string{"Mars/Base", "Europe/Berlin"}},
		{"new client of no port", "client new dave", 2, []string{"port and a name"}},
		{"new client of a port that was never counted", "client new 20009 dave", 2, []string{"20009"}},
		{"new client of two ports", "client new 20000-20001 dave", 2, []string{"want a number from 1 to 65535"}},
		{"new client of the same name", "client new 20000 alice", 1, []string{"20000", "alice", "another name"}},
		{"unknown command of client", "client add", 2, []string{"add", "ssmonitor client --help"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin(t, server.ssmonitor(nil, strings.Fields(test.arguments)...)).expectOneLine(t, test.status, test.words...)
		})
	}
	for _, query := range []string{"since=2026-13", "client=nobody", "month=11", "since=2026-11&until=2026-10", "top=-1", "by=day&by=hour", "%zz"} {
		if status, body := server.get(t, "/v1/usage?"+query); status != http.StatusBadRequest || strings.Count(body, "\n") != 1 {
			t.Errorf("GET /v1/usage?%s answers %d: %s", query, status, body)
		}
	}
	if text := server.succeed(t, "usage", "--since", "2020-01", "--until", "2020-02"); !strings.Contains(text, "No usage is recorded for this time.") {
		t.Errorf("an empty time is shown as:\n%s", text)
	}
	agent.stop(t)
}

func TestUsageOfALedgerThatCannotBeRead(t *testing.T) {
	require(t, "sqlite3")
	t.Parallel()
	server := newServer(t)
	agent := server.startCounting(t, "--port", "20000=alice")
	server.sendToItself(t, 20000, 10)
	agent.stop(t)
	database := server.stateFile("ssmonitor.db")
	good := testkit.ReadFile(t, database)
	commands := [][]string{{"usage"}, {"usage", "--format", "html"}, {"client", "list"}, {"client", "new", "20000", "dave"}}

	setVersion(t, database, "99")
	newer := testkit.ReadFile(t, database)
	for _, command := range append(commands, []string{"run", "--port", "20000"}, []string{"teardown"}) {
		begin(t, server.ssmonitor(nil, command...)).expectOneLine(t, 1, database, "version 99", "newer ssmonitor")
	}
	if now, err := os.ReadFile(database); err != nil || string(now) != newer {
		t.Errorf("the newer database was touched: %v", err)
	}

	testkit.WriteFile(t, database, good)
	damage(t, database)
	for _, command := range commands {
		begin(t, server.ssmonitor(nil, command...)).expectOneLine(t, 1, database, "damaged")
	}
	testkit.WriteFile(t, database, "this is no database\n")
	for _, command := range commands {
		begin(t, server.ssmonitor(nil, command...)).expectOneLine(t, 1, database, "damaged")
	}
}

// setVersion raises the schema's version as a later program does, which keeps
// the checksums of the pages.
func setVersion(t *testing.T, path, version string) {
	t.Helper()
	conn, err := sqlite3.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec("pragma user_version = " + version + "; pragma wal_checkpoint(truncate)"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}
