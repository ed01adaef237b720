package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

var aliceAndBob = accounting.Ports{
	{Number: 20000, Protocols: accounting.TCPAndUDP, Name: "alice"},
	{Number: 20001, Protocols: accounting.TCPAndUDP, Name: "bob"},
}

// bytesOf returns what a client has used, by month.
func bytesOf(t *testing.T, directory, client string) (sum uint64) {
	t.Helper()
	for _, row := range recorded(t, directory, usage.ByMonth).Rows {
		if row.Client == client {
			sum += row.In.Bytes + row.Out.Bytes
		}
	}
	return sum
}

func TestHandOverBeginsAHistory(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(1, 2))
	if err := s.HandOver(20000, "dave", noon); err != nil {
		t.Fatal(err)
	}
	var unknown *UnknownClientError
	if err := s.HandOver(20009, "dave", noon); !errors.As(err, &unknown) || unknown.Port != 20009 {
		t.Errorf("a port that was never counted: got %v", err)
	}
	var same *SameClientError
	if err := s.HandOver(20000, "dave", noon); !errors.As(err, &same) || same.Client != "dave" {
		t.Errorf("the same client: got %v", err)
	}
	if saves, err := s.db.value("select saves from ledger"); err != nil || saves != s.saved.saves {
		t.Errorf("the database has %d saves, %v, want %d", saves, err, s.saved.saves)
	}
	save(t, s, stateAt(3, 2))
	if got := s.ResolveNames(aliceAndBob); got[0].Name != "dave" || got[1].Name != "bob" {
		t.Errorf("the ports are named %v", got)
	}
	for client, want := range map[string]uint64{"alice": 4000, "dave": 8000, "bob": 24000} {
		if got := bytesOf(t, directory, client); got != want {
			t.Errorf("%s has used %d bytes, want %d", client, got, want)
		}
	}
	selected, err := Usage(t.Context(), directory, usage.Query{By: usage.ByMonth, Clients: []usage.ClientID{{Name: "alice"}, {Name: "dave"}}, Ports: []uint16{20000}})
	if err != nil || len(selected.Rows) != 4 || selected.Rows[0].Client != "alice" || selected.Rows[2].Client != "dave" {
		t.Errorf("got the rows %v, %v, want those of alice and dave", selected, err)
	}
	closeStore(t, s)
	if err := s.HandOver(20000, "erin", noon); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
	wantSound(t, directory)
}

// TestANewNameInTheSourcesOfALaterClient has the sources name the client that gets the
// port at the first reading, as the file of clients does by then: that renames nobody.
func TestANewNameInTheSourcesOfALaterClient(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(1, 2))
	if err := s.HandOverLater(20000, "dave"); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s, _, _ = open(t, directory)
	daveAndBob := accounting.Ports{aliceAndBob[0], aliceAndBob[1]}
	daveAndBob[0].Name = "dave"
	if got := s.ResolveNames(daveAndBob); got[0].Name != "alice" {
		t.Errorf("before the reading, the port is named %v", got)
	}
	if err := s.HandOver(20000, "dave", noon); err != nil {
		t.Fatal(err)
	}
	save(t, s, stateAt(3, 2))
	if got := s.ResolveNames(daveAndBob); got[0].Name != "dave" {
		t.Errorf("the ports are named %v", got)
	}
	for client, want := range map[string]uint64{"alice": 4000, "dave": 8000} {
		if got := bytesOf(t, directory, client); got != want {
			t.Errorf("%s has used %d bytes, want %d", client, got, want)
		}
	}
	daveAndBob[0].Name = "david"
	if got := s.ResolveNames(daveAndBob); got[0].Name != "david" || bytesOf(t, directory, "david") != 8000 {
		t.Errorf("after another name, the ports are named %v", got)
	}
	closeStore(t, s)
	wantSound(t, directory)
}

// TestANewNameIsThatOfThePast renames a client that had another port before.
func TestANewNameIsThatOfThePast(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	port := func(number uint16, name string) accounting.Port {
		return accounting.Port{Number: number, Protocols: accounting.TCPAndUDP, Name: name}
	}
	for _, step := range []struct {
		name  string
		ports accounting.Ports
		past  string // the client of port 20002
	}{
		{"the port is counted", accounting.Ports{port(20000, "alice"), port(20001, "bob"), port(20002, "alice")}, "alice"},
		{"it ends with the name", accounting.Ports{port(20000, "alicia"), port(20001, "bob")}, "alicia"},
		{"it has ended", accounting.Ports{port(20000, "alice"), port(20001, "alice")}, "alice"},
		{"a port has the name", accounting.Ports{port(20000, "alicia"), port(20001, "alice")}, "alice"},
		{"two names have come", accounting.Ports{port(20000, "alice"), port(20001, "alice")}, "alice"},
		{"of which none can be the one", accounting.Ports{port(20000, "alicia"), port(20001, "bob")}, "alice"},
		{"one name", accounting.Ports{port(20000, "alice"), port(20001, "bob")}, "alice"},
		{"another one", accounting.Ports{port(20000, "alicia"), port(20001, "bob")}, "alicia"},
		{"the other port ends", accounting.Ports{port(20001, "bob")}, "alicia"},
		{"another client's, which had it", accounting.Ports{port(20001, "carol")}, "alicia"},
		{"counted again", accounting.Ports{port(20001, "carol"), port(20002, "alicia")}, "alicia"},
	} {
		closeStore(t, s)
		s, _, _ = open(t, directory)
		s.ResolveNames(step.ports)
		clients, err := s.db.portClients()
		if last := clients[len(clients)-1]; err != nil || last.Port != 20002 || last.Name != step.past {
			t.Errorf("%s: got %v, %v, want %s", step.name, clients, err, step.past)
		}
	}
	if clients, err := s.db.portClients(); err != nil || len(clients) != 3 {
		t.Errorf("got %v, %v, want three clients", clients, err)
	}
	// Whoever had the port before keeps the name, though it was once that of both.
	if err := s.HandOver(20001, "dave", noon); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dave", "carol", "dave"} {
		s.ResolveNames(accounting.Ports{port(20001, name)})
	}
	if clients, err := s.db.portClients(); err != nil || clients[1].Name != "carol" || clients[2].Name != "dave" {
		t.Errorf("after another person's name and back: got %v, %v", clients, err)
	}
	closeStore(t, s)
	wantSound(t, directory)
}

// TestClientsOfAClockSetBack gives a port away twice, between which the clock is set
// back by less than a day. The last client has the port.
func TestClientsOfAClockSetBack(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	s.ResolveNames(aliceAndBob)
	for i, name := range []string{"dave", "erin"} {
		if err := s.HandOver(20000, name, noon.Add(-time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	clients, err := Clients(t.Context(), directory)
	if err != nil || len(clients) != 4 {
		t.Fatalf("got %v, %v, want 4 clients", clients, err)
	}
	if got := clients[2]; got.Name != "erin" || got.Port != 20000 || !got.Until.IsZero() {
		t.Errorf("got %v, want erin without an end", got)
	}
}

// TestHandOverSurvivesTheLossOfTheDatabase damages it as soon as there is a backup
// after the change. An older backup is still being written at the change.
func TestHandOverSurvivesTheLossOfTheDatabase(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(1, 2))
	awaitBackup(s)
	running, cancel := context.WithCancel(t.Context())
	done := make(chan backupResult, 1)
	s.backup.cancel, s.backup.done = cancel, done
	go func() {
		select {
		case <-running.Done():
		case <-time.After(5 * time.Second):
		}
		done <- backupResult{err: context.Canceled}
	}()
	if err := s.HandOver(20000, "dave", noon); err != nil {
		t.Fatal(err)
	}
	awaitBackup(s)
	directory = killed(t, s)
	writeAll(t, filepath.Join(directory, databaseName), []byte("damaged"))
	s, _, notices := open(t, directory)
	if got := s.ResolveNames(aliceAndBob); len(notices) == 0 || got[0].Name != "dave" {
		t.Errorf("got the ports %v and the notices %v", got, notices)
	}
}

// TestHandOverAfterAFailure expects the next attempt to find what the first one
// has left.
func TestHandOverAfterAFailure(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	s.ResolveNames(aliceAndBob)
	save(t, s, stateAt(1, 2))
	if err := s.db.Exec("create temp trigger refuse before update on ledger begin select raise(abort, 'refused'); end"); err != nil {
		t.Fatal(err)
	}
	if err := s.HandOver(20000, "dave", noon); err == nil {
		t.Fatal("a client begins in a database that can't be written")
	}
	if err := s.db.Exec("drop trigger refuse"); err != nil {
		t.Fatal(err)
	}
	if err := s.HandOver(20000, "dave", noon); err != nil {
		t.Fatal(err)
	}
	save(t, s, stateAt(2, 2))
	if got := bytesOf(t, directory, "dave"); got != 4000 {
		t.Errorf("dave has used %d bytes, want 4000", got)
	}
	closeStore(t, s)
	wantSound(t, directory)
}

func TestOpenWhenFree(t *testing.T) {
	directory := t.TempDir()
	first, _, _ := open(t, directory)
	save(t, first, stateAt(1, 1))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var locked *LockedError
	if _, _, _, err := OpenWhenFree(ended, directory, at(noon)); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("when ctx has ended: got %v", err)
	}
	if identity := first.Identity(); identity == "" || locked.Identity != identity {
		t.Errorf("the directory is %q for its holder and %q for others", identity, locked.Identity)
	}

	type opened struct {
		store *Store
		err   error
	}
	done := make(chan opened, 1)
	go func() {
		s, _, _, err := OpenWhenFree(t.Context(), directory, at(noon))
		done <- opened{s, err}
	}()
	select {
	case second := <-done:
		t.Fatalf("two stores hold the directory: %v", second.err)
	case <-time.After(20 * time.Millisecond):
	}
	closeStore(t, first)
	second := <-done
	if second.err != nil {
		t.Fatal(second.err)
	}
	closeStore(t, second.store)
	if s, _, _, err := Open(directory, at(noon)); err != nil {
		t.Errorf("after all have released it: %v", err)
	} else {
		closeStore(t, s)
	}
}

// TestIntactOpenChangesNothing opens what it would otherwise create or restore.
func TestIntactOpenChangesNothing(t *testing.T) {
	options := at(noon)
	options.Intact = true
	wantFailure := func(what, directory string, want error) {
		t.Helper()
		before := snapshot(t, directory)
		if _, _, _, err := Open(directory, options); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
		after := snapshot(t, directory)
		for name, content := range after {
			if old, known := before[name]; !known || content != old {
				t.Errorf("%s: %s was changed", what, name)
			}
		}
		if _, found := after[databaseName]; found != (len(before) > 0) {
			t.Errorf("%s: a database at the end: %t", what, found)
		}
	}
	empty := t.TempDir()
	wantFailure("an empty directory", empty, fs.ErrNotExist)
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("the empty directory has %v, %v", entries, err)
	}
	if _, _, _, err := Open(filepath.Join(empty, "missing"), options); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: got %v", err)
	}

	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	closeStore(t, s)
	s, _, notices := openWith(t, directory, options)
	closeStore(t, s)
	if len(notices) > 0 {
		t.Errorf("a good database: got %v", notices)
	}
	writeAll(t, filepath.Join(directory, databaseName), []byte("damaged"))
	wantFailure("a damaged database", directory, ErrDamaged)
}
