package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// clientsIn returns the clients of the ports as text: port, name, whether it has ended.
func clientsIn(t *testing.T, directory string) string {
	t.Helper()
	clients, err := Clients(t.Context(), directory)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, client := range clients {
		until := "now"
		if !client.Until.IsZero() {
			until = client.Until.UTC().Format("01-02T15:04")
		}
		lines = append(lines, fmt.Sprintf("%d %s %s %s", client.Port, client.Name, client.Since.UTC().Format("01-02T15:04"), until))
	}
	return strings.Join(lines, "\n")
}

func wantClients(t *testing.T, directory, want string) {
	t.Helper()
	if got := clientsIn(t, directory); got != want {
		t.Errorf("got the clients\n%s\nwant\n%s", got, want)
	}
}

// TestPortsThatAreNotCountedEnd removes a port from the sources, and adds it again: first
// by its name, and then by another one.
func TestPortsThatAreNotCountedEnd(t *testing.T) {
	directory := t.TempDir()
	now := noon
	options := at(noon)
	options.Now = func() time.Time { return now }
	s, _, _ := openWith(t, directory, options)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(1, 2))
	now = noon.Add(time.Hour)
	s.ResolveNames(aliceAndBob[1:])
	wantClients(t, directory, "20000 alice 11-24T12:00 11-24T13:00\n20001 bob 11-24T12:00 now")

	now = noon.Add(2 * time.Hour)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(2, 2))
	wantClients(t, directory, "20000 alice 11-24T12:00 now\n20001 bob 11-24T12:00 now")
	if got := bytesOf(t, directory, "alice"); got != 8000 {
		t.Errorf("alice has used %d bytes, want 8000", got)
	}

	s.ResolveNames(aliceAndBob[1:])
	now = noon.Add(3 * time.Hour)
	carol := accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "carol"}, aliceAndBob[1]}
	s.ResolveNames(carol)
	save(t, s, stateAt(3, 2))
	wantClients(t, directory, "20000 alice 11-24T12:00 11-24T14:00\n20000 carol 11-24T15:00 now\n20001 bob 11-24T12:00 now")
	if got := bytesOf(t, directory, "carol"); got != 4000 {
		t.Errorf("carol has used %d bytes, want 4000", got)
	}
	// A command does not know which ports are counted.
	closeStore(t, s)
	s, _, _ = openWith(t, directory, options)
	if err := s.HandOver(20001, "dave", now); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	wantClients(t, directory, "20000 alice 11-24T12:00 11-24T14:00\n20000 carol 11-24T15:00 now\n20001 bob 11-24T12:00 11-24T15:00\n20001 dave 11-24T15:00 now")
	wantSound(t, directory)
}

func TestForget(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(1, 2))
	for i, name := range []string{"dave", "alice", "erin"} {
		if err := s.HandOver(20000, name, noon); err != nil {
			t.Fatal(err)
		}
		save(t, s, stateAt(uint64(2+i), 2))
	}
	before, earlier := recorded(t, directory, usage.ByHour), earlierOf(t, s)
	everyPort := func(name string) usage.Past { return usage.Past{Name: name, First: 1, Last: 65535} }
	if err := s.Forget(everyPort("alice")); err != nil {
		t.Fatal(err)
	}
	if in, out := sums(before); in.Bytes == 0 {
		t.Fatal("nothing is recorded")
	} else if gotIn, gotOut := sums(recorded(t, directory, usage.ByHour)); gotIn != in || gotOut != out {
		t.Errorf("after it, the hours have %v and %v, want %v and %v", gotIn, gotOut, in, out)
	}
	wantClients(t, directory, "0  01-01T00:00 now\n20000 dave 11-24T12:00 11-24T12:00\n20000 erin 11-24T12:00 now\n20001 bob 11-24T12:00 now")
	for _, row := range recorded(t, directory, usage.ByMonth).Rows {
		if row.Port == 0 && (usage.ClientOf(row.Client, row.Port) != usage.Forgotten || row.In.Bytes != 2000) {
			t.Errorf("got %+v, want 2000 bytes of the forgotten client", row)
		}
	}
	if got := earlierOf(t, s); got[accounting.Key{Port: 20000, Protocol: accounting.TCP}].Bytes != 3000 || len(got) != len(earlier) {
		t.Errorf("the port's earlier clients have used %v, want %v", got, earlier)
	}
	if err := s.Forget(everyPort("alice")); !errors.Is(err, ErrNothingToForget) {
		t.Errorf("a second time: got %v", err)
	}
	var counted *CountedError
	if err := s.Forget(everyPort("erin")); !errors.As(err, &counted) || counted.Port != 20000 {
		t.Errorf("a client that has a port: got %v", err)
	}
	if err := s.HandOverLater(20000, "dave"); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(everyPort("dave")); !errors.As(err, &counted) {
		t.Errorf("a client that gets a port: got %v", err)
	}
	closeStore(t, s)
	if _, err := s.Earlier(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("what earlier clients have used after Close: got %v, not that it is unknown", err)
	}
	wantSound(t, directory)
}

func earlierOf(t *testing.T, s *Store) map[accounting.Key]accounting.Count {
	t.Helper()
	earlier, err := s.Earlier()
	if err != nil {
		t.Fatal(err)
	}
	return earlier
}

// TestForgottenLeavesNoTrace looks for the name in every file.
func TestForgottenLeavesNoTrace(t *testing.T) {
	const name = "somebody-who-left"
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	var ports accounting.Ports
	for i := range uint16(300) { // more than a page of the table
		ports = append(ports, accounting.Port{Number: 20000 + i, Protocols: accounting.TCPAndUDP, Name: name})
	}
	s.ResolveNames(ports)
	save(t, s, stateAt(1, 300))
	awaitBackup(s)
	s.ResolveNames(accounting.Ports{{Number: 20500, Protocols: accounting.TCPAndUDP, Name: "alice"}})
	save(t, s, stateAt(2, 300))
	if err := s.Forget(usage.Past{Name: name, First: 1, Last: 65535}); err != nil {
		t.Fatal(err)
	}
	awaitBackup(s)
	for _, running := range []bool{true, false} {
		for file, content := range snapshot(t, directory) {
			if strings.Contains(content, name) {
				t.Errorf("%s has the name (running: %t)", file, running)
			}
		}
		if running {
			closeStore(t, s)
		}
	}
	wantSound(t, directory)
}

// TestForgetAMistakenRange has every port, of which two are counted in the end.
func TestForgetAMistakenRange(t *testing.T) {
	directory := fast(t)
	s, _, _ := open(t, directory)
	var ports accounting.Ports
	for number := 1; number <= 65535; number++ {
		ports = append(ports, accounting.Port{Number: uint16(number), Protocols: accounting.TCPAndUDP})
	}
	s.ResolveNames(ports)
	save(t, s, stateAt(1, 500)) // from port 20000
	s.ResolveNames(aliceAndBob)
	began := time.Now()
	if err := s.Forget(usage.Past{First: 1, Last: 65535}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it takes %s", took)
	}
	wantClients(t, directory, "0  01-01T00:00 now\n20000 alice 11-24T12:00 now\n20001 bob 11-24T12:00 now")
	wantSound(t, directory)
	s.ResolveNames(ports[:3])
	save(t, s, stateAt(2, 500)) // of ports that are forgotten
	closeStore(t, s)
	wantSound(t, directory)
}

// TestForgetFails leaves everything as it was.
func TestForgetFails(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(1, 2))
	s.ResolveNames(aliceAndBob[1:])
	if err := s.db.Exec("create temp trigger refuse before update on ledger begin select raise(abort, 'refused'); end"); err != nil {
		t.Fatal(err)
	}
	alice := usage.Past{Name: "alice", Last: 65535}
	if err := s.Forget(alice); err == nil {
		t.Fatal("a client is forgotten by a database that can't be written")
	}
	if err := s.db.Exec("drop trigger refuse"); err != nil {
		t.Fatal(err)
	}
	s.ResolveNames(aliceAndBob) // it knows alice again
	save(t, s, stateAt(2, 2))
	if got := bytesOf(t, directory, "alice"); got != 8000 {
		t.Errorf("alice has used %d bytes, want 8000", got)
	}
	s.ResolveNames(aliceAndBob[1:])
	if err := s.Forget(alice); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
	wantSound(t, directory)
}

// TestMigratesTenures opens a database of the version before tenures had an end.
func TestMigratesTenures(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, databaseName)
	if err := create(path, "", func(conn *sqlite3.Conn) error {
		if err := enableChecksums(conn); err != nil {
			return err
		}
		return conn.Exec(schema + formerSchema + clockSchema + laterSchema + `
			insert into tenure values (1, 20000, 'alice', 1795500000), (2, 20000, 'dave', 1795510000), (3, 20001, 'bob', 1795500000), (4, 20002, '', 1795500000);
			insert into port values (20000, 2, 'alice'), (20001, 3, 'bob'), (20002, 4, '');
			insert into period values (2, 1793491200, 1796083200, '2026-11-01'), (1, 1795478400, 1795564800, '2026-11-24'), (0, 1795504800, 1795508400, '2026-11-24T07:20:00Z');
			insert into usage select period, start, 1, 6, 1, 100, 0, 0 from period;
			insert into usage select period, start, 3, 6, 1, 50, 0, 0 from period;
			insert into account values (20000, 6, 0, 1, 100, 1, 100, zeroblob(16), 1), (20001, 6, 0, 1, 50, 1, 50, zeroblob(16), 1);
			pragma user_version = 4; pragma application_id = 0x73736d6f; pragma journal_mode = wal`)
	}); err != nil {
		t.Fatal(err)
	}
	const unchanged = "20000 alice 11-24T06:00 11-24T08:46\n20000 dave 11-24T08:46 now\n20001 bob 11-24T06:00 now\n20002  11-24T06:00 now"
	wantClients(t, directory, unchanged) // by a reader, who migrates nothing
	if err := copyFile(path, filepath.Join(directory, backupName)); err != nil {
		t.Fatal(err)
	}
	if err := verify(filepath.Join(directory, backupName), ""); err != nil {
		t.Errorf("the backup of a former version: %v", err)
	}
	s, _, notices := open(t, directory)
	if len(notices) > 0 {
		t.Fatal(notices)
	}
	wantClients(t, directory, unchanged)
	if err := s.Forget(usage.Past{Name: "bob", Last: 65535}); !errors.As(err, new(*CountedError)) {
		t.Errorf("before it is known what is counted: got %v", err)
	}
	s.ResolveNames(aliceAndBob[:1])
	// bob ended after his last usage, and the client without a name at an unknown time.
	wantClients(t, directory, "20000 alice 11-24T06:00 11-24T08:46\n20000 dave 11-24T08:46 now\n20001 bob 11-24T06:00 11-24T07:20\n20002  11-24T06:00 11-24T06:00")
	if got := earlierOf(t, s)[accounting.Key{Port: 20000, Protocol: accounting.TCP}].Bytes; got != 100 {
		t.Errorf("dave's predecessor has used %d bytes, want 100", got)
	}
	closeStore(t, s)
	wantSound(t, directory)
}
