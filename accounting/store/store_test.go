package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"ssmonitor/accounting"
)

// ports is the number of ports of the test ledgers; each has four accounts.
const ports = 30

// stateOf returns a ledger of which every number tells the save that it is
// from, so that a mix of two saves can't go unnoticed.
func stateOf(save uint64) accounting.State {
	return accounting.State{
		In:       accounting.Count{Packets: save, Bytes: 1000 * save},
		Out:      accounting.Count{Packets: 2 * save, Bytes: 2000 * save},
		Accounts: accountsOf(save, ports),
	}
}

func accountsOf(save uint64, ports int) []accounting.Account {
	accounts := make([]accounting.Account, 0, 4*ports)
	for port := range ports {
		keys := accounting.Port{Number: uint16(20000 + port), Protocols: accounting.TCPAndUDP}.Keys(nil)
		for _, key := range keys {
			accounts = append(accounts, accounting.Account{
				Key:    key,
				Total:  accounting.Count{Packets: save * 3, Bytes: save * uint64(key.Port)},
				Last:   accounting.Count{Packets: save, Bytes: save << 32},
				Epoch:  accounting.Epoch{1, 2, 3, 15: byte(save)},
				Handle: uint64(port) + save,
			})
		}
	}
	return accounts
}

func open(t testing.TB, directory string) (*Store, accounting.State, []Notice) {
	t.Helper()
	s, state, notices, err := Open(directory, Options{Holder: "run"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, state, notices
}

func save(t testing.TB, s *Store, states ...accounting.State) {
	t.Helper()
	for _, state := range states {
		if err := s.Save(state); err != nil {
			t.Fatal(err)
		}
	}
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// saved makes a ledger of some saves, as a killed agent leaves it: the last
// one is in one file, the one before in the other.
func saved(t testing.TB, saves uint64) string {
	t.Helper()
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	for n := range saves {
		save(t, s, stateOf(n+1))
	}
	kill(s)
	return directory
}

// kill ends the use of a store the way kill -9 does.
func kill(s *Store) {
	for i := range s.files {
		if s.files[i].database != nil {
			_ = s.files[i].database.close()
			s.files[i].database, s.files[i].whole = nil, false
		}
	}
	_ = s.lock.file.Close()
	s.lock, s.closed = nil, true
}

func newestPath(t testing.TB, directory string) string {
	t.Helper()
	found, err := inspect(directory)
	if err != nil || found.newest() < 0 {
		t.Fatalf("no newest file: %v", err)
	}
	return filepath.Join(directory, fileNames[found.newest()])
}

func otherOf(path string) string {
	for _, name := range fileNames {
		if other := filepath.Join(filepath.Dir(path), name); other != path {
			return other
		}
	}
	return ""
}

func readAll(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeAll(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

func wantState(t testing.TB, got, want accounting.State) {
	t.Helper()
	if !sameState(got, want) {
		t.Fatalf("wrong state (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// sameState spares the many comparisons that find no difference the reflection
// of cmp.
func sameState(a, b accounting.State) bool {
	return a.In == b.In && a.Out == b.Out && slices.Equal(a.Accounts, b.Accounts)
}

func TestANewLedgerIsEmpty(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "made", "here")
	_, state, notices := open(t, directory)
	wantState(t, state, accounting.State{})
	if len(notices) != 0 {
		t.Errorf("notices %v", notices)
	}
	information, err := os.Stat(directory)
	if err != nil || information.Mode().Perm()&^directoryMode != 0 {
		t.Errorf("directory: %v, %v", information.Mode(), err)
	}
	if _, _, err := Read(directory); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nothing has been saved") {
		t.Errorf("reading a ledger that was never saved: %v", err)
	}
}

func TestWhatIsSavedIsThereAgain(t *testing.T) {
	for saves := uint64(1); saves <= 5; saves++ {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d saves, clean %t", saves, clean), func(t *testing.T) {
				directory := t.TempDir()
				s, _, _ := open(t, directory)
				for n := range saves {
					save(t, s, stateOf(n+1))
				}
				if clean {
					closeStore(t, s)
				} else {
					kill(s)
				}
				again, state, notices := open(t, directory)
				wantState(t, state, stateOf(saves))
				if len(notices) != 0 {
					t.Errorf("notices %v", notices)
				}
				save(t, again, stateOf(saves+1), stateOf(saves+2))
				closeStore(t, again)
				state, _, err := Read(directory)
				if err != nil {
					t.Fatal(err)
				}
				wantState(t, state, stateOf(saves+2))
			})
		}
	}
}

// model applies changes the way the store has to.
type model map[accounting.Key]accounting.Account

func (m model) apply(changed accounting.State) accounting.State {
	for _, account := range changed.Accounts {
		m[account.Key] = account
	}
	all := accounting.State{In: changed.In, Out: changed.Out}
	for _, account := range m {
		all.Accounts = append(all.Accounts, account)
	}
	slices.SortFunc(all.Accounts, func(a, b accounting.Account) int { return a.Key.Compare(b.Key) })
	return all
}

func TestPartialSavesAddUpInBothFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	directory := t.TempDir()
	model := model{}
	var before, last accounting.State
	s, _, _ := open(t, directory)
	for n := range uint64(120) {
		all := stateOf(n + 1)
		random.Shuffle(len(all.Accounts), func(i, j int) {
			all.Accounts[i], all.Accounts[j] = all.Accounts[j], all.Accounts[i]
		})
		all.Accounts = all.Accounts[:random.IntN(len(all.Accounts))]
		before, last = last, model.apply(all)
		save(t, s, all)
		if n == 0 {
			continue
		}
		found, err := inspect(directory)
		if err != nil {
			t.Fatal(err)
		}
		newest := found.newest()
		wantState(t, found[newest].state, last)
		wantState(t, found[1-newest].state, before)
		if random.IntN(10) == 0 {
			kill(s)
			s, _, _ = open(t, directory)
			save(t, s, all) // brings the older file up to date
			last = model.apply(all)
		} else if random.IntN(10) == 0 {
			closeStore(t, s)
			s, _, _ = open(t, directory)
		}
	}
}

func TestCloseLevelsTheFiles(t *testing.T) {
	directory := t.TempDir()
	for round := range uint64(3) { // the third begins with a file that has no turn yet
		s, _, _ := open(t, directory)
		save(t, s, stateOf(2*round+1), stateOf(2*round+2))
		if round == 2 {
			save(t, s, stateOf(2*round+3))
		}
		closeStore(t, s)
		found, err := inspect(directory)
		if err != nil {
			t.Fatal(err)
		}
		if found[0].header != found[1].header {
			t.Errorf("headers %+v and %+v", found[0].header, found[1].header)
		}
		wantState(t, found[0].state, found[1].state)
	}
}

func TestNothingNewIsNotWritten(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateOf(1), stateOf(2))
	before := readAll(t, newestPath(t, directory))
	idle := stateOf(2)
	idle.Accounts = nil
	save(t, s, idle, idle, idle)
	if !bytes.Equal(before, readAll(t, newestPath(t, directory))) {
		t.Error("the file was written to")
	}
}

func TestSaveAfterClose(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	closeStore(t, s)
	if err := s.Save(stateOf(1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v", err)
	}
	closeStore(t, s)
}

func TestFilesBelongToTheDirectorysOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		needRoot(t, "root to own a directory by another user")
	}
	directory := t.TempDir()
	if err := os.Chown(directory, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o077))
	s, _, _ := open(t, directory)
	save(t, s, stateOf(1), stateOf(2))
	for _, name := range []string{fileNames[0], fileNames[1], lockName} {
		information, err := os.Stat(filepath.Join(directory, name))
		if err != nil {
			t.Fatal(err)
		}
		owner := information.Sys().(*syscall.Stat_t)
		if owner.Uid != 1234 || owner.Gid != 2345 || information.Mode() != fileMode {
			t.Errorf("%s belongs to %d:%d with %v, want 1234:2345 with %v", name, owner.Uid, owner.Gid, information.Mode(), fs.FileMode(fileMode))
		}
	}
}

func TestLinksAndPipesAreRefused(t *testing.T) {
	tests := map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	}
	for name, plant := range tests {
		t.Run(name, func(t *testing.T) {
			directory := saved(t, 2)
			path := filepath.Join(directory, fileNames[0])
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := Open(directory, Options{}); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// TestANewerFormatIsLeftAlone proves that the version is read before anything
// is written.
func TestANewerFormatIsLeftAlone(t *testing.T) {
	directory := saved(t, 3)
	path := newestPath(t, directory)
	edit(t, path, func(tx *bbolt.Tx) error {
		// Of a later header only its first and its last bytes are known.
		value := append(binary.BigEndian.AppendUint32(nil, 7), "what a later version needs"...)
		value = binary.BigEndian.AppendUint64(value, shortHash(value))
		return tx.Bucket([]byte(ledgerBucket)).Put([]byte(headerKey), value)
	})
	before := snapshot(t, directory)
	check := func(err error) {
		t.Helper()
		newer, ok := errors.AsType[*NewerError](err)
		if !ok || newer.Version != 7 || newer.Supported != formatVersion || newer.Path != path {
			t.Fatalf("got %v", err)
		}
	}
	_, _, _, err := Open(directory, Options{})
	check(err)
	_, _, err = Read(directory)
	check(err)
	if difference := cmp.Diff(before, snapshot(t, directory)); difference != "" {
		t.Errorf("files changed: %s", difference)
	}
}

// edit changes a file behind the store's back.
func edit(t testing.TB, path string, change func(*bbolt.Tx) error) {
	t.Helper()
	database, err := bbolt.Open(path, 0o640, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(database.Update(change), database.Close()); err != nil {
		t.Fatal(err)
	}
}

// snapshot returns the ledger's files by name.
func snapshot(t testing.TB, directory string) map[string]string {
	t.Helper()
	files := map[string]string{}
	names, err := ownFiles(directory, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		files[name] = string(readAll(t, filepath.Join(directory, name)))
	}
	return files
}

// TestBucketsOfALaterVersionAreKept stands for history: buckets that this
// version does not know are covered by the checksum, copied, and left alone.
func TestBucketsOfALaterVersionAreKept(t *testing.T) {
	directory := saved(t, 3)
	path := newestPath(t, directory)
	addHistory(t, path)
	s, state, notices := open(t, directory)
	if len(notices) > 0 {
		t.Fatalf("notices %v", notices)
	}
	wantState(t, state, stateOf(3))
	save(t, s, stateOf(4), stateOf(5))
	closeStore(t, s)
	for _, name := range fileNames {
		path := filepath.Join(directory, name)
		if rows := countRows(t, path, "hour"); rows != 500 {
			t.Errorf("%s has %d rows of history, want 500", name, rows)
		}
		edit(t, path, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("hour")).Put([]byte("row-007"), []byte("another value"))
		})
		if _, err := inspectFile(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("a changed row of history: %v", err)
		}
	}
}

func addHistory(t testing.TB, path string) {
	t.Helper()
	edit(t, path, func(tx *bbolt.Tx) error {
		history, err := tx.CreateBucket([]byte("hour"))
		if err != nil {
			return err
		}
		d := new(database)
		ledger := tx.Bucket([]byte(ledgerBucket))
		if err := d.loadChecksum(ledger); err != nil {
			return err
		}
		for i := range 500 {
			if err := d.put(history, "hour", fmt.Appendf(nil, "row-%03d", i), fmt.Appendf(nil, "%0100d", i)); err != nil {
				return err
			}
		}
		h, err := decodeHeader(ledger.Get([]byte(headerKey)))
		h.rows, h.sum = d.sum.rows, d.sum.sum
		return errors.Join(err, ledger.Put([]byte(headerKey), h.encode()))
	})
}

func countRows(t testing.TB, path, bucket string) (rows int) {
	t.Helper()
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(_, _ []byte) error { rows++; return nil })
	})
	return rows
}

func TestPurgeRemovesExactlyOurFiles(t *testing.T) {
	directory := saved(t, 3)
	for _, name := range []string{fileNames[0] + newSuffix, fileNames[1] + damagedInfix + "x", "ledger-a.db.mine", "notes"} {
		writeAll(t, filepath.Join(directory, name), []byte("x"))
	}
	s, _, _ := open(t, directory)
	if _, ok := errors.AsType[*LockedError](Purge(directory)); !ok {
		t.Error("purged while another holds it")
	}
	closeStore(t, s)
	if err := Purge(directory); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if difference := cmp.Diff([]string{"ledger-a.db.mine", "notes"}, left); difference != "" {
		t.Error(difference)
	}
	if err := Purge(filepath.Join(directory, "missing")); err != nil {
		t.Error(err)
	}
}

// TestReadWhileSaving reads as fast as it can during saves of both files: each
// reading is one whole save, and never goes back.
func TestReadWhileSaving(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateOf(1))
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		for n := range uint64(200) {
			if err := s.Save(stateOf(n + 2)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var last uint64
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		state, notices, err := Read(directory)
		if err != nil || len(notices) > 0 {
			t.Errorf("reading: %v, %v", err, notices)
			break
		}
		if state.In.Packets < last {
			t.Errorf("save %d after save %d", state.In.Packets, last)
		}
		last = state.In.Packets
		wantState(t, state, stateOf(last))
	}
	group.Wait()
}

func TestReadNeedsNoLock(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateOf(1), stateOf(2))
	reader, err := os.Open(newestPath(t, directory))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	state, _, err := Read(directory)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, state, stateOf(2))
}

// TestAForeignLockHoldsNothingUp has another program look into a file with
// bbolt, which locks it.
func TestAForeignLockHoldsNothingUp(t *testing.T) {
	directory := saved(t, 4)
	s, _, _ := open(t, directory)
	save(t, s, stateOf(5), stateOf(6))
	closeStore(t, s)
	for _, name := range fileNames {
		other, err := bbolt.Open(filepath.Join(directory, name), 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
	}
	s, state, _ := open(t, directory)
	wantState(t, state, stateOf(6))
	errs := 0
	for range 4 {
		if s.Save(stateOf(7)) != nil {
			errs++
		}
	}
	if errs > 2 {
		t.Errorf("%d of 4 saves failed, want no more than one a file", errs)
	}
	state, _, err := Read(directory)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, state, stateOf(7))
}

// needRoot skips the test, or fails it where everything must be there.
func needRoot(t testing.TB, missing string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s", missing)
	}
	t.Skipf("this test needs %s", missing)
}

// The processes that tests start are this test binary with this variable set
// to what to do and the directory.
const childVariable = "SSMONITOR_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role, directory, found := strings.Cut(os.Getenv(childVariable), ":"); found {
		if err := child(role, directory); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child saves one state after the other, saying so after each, until it is
// killed; or holds the directory until its input ends.
func child(role, directory string) error {
	s, state, _, err := Open(directory, Options{Holder: role})
	if err != nil {
		return err
	}
	if role == "hold" {
		fmt.Println("ready")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	for n := state.In.Packets + 1; ; n++ {
		if err := s.Save(stateOf(n)); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// startChild starts a child that ends with the test.
func startChild(t testing.TB, role, directory string) (*exec.Cmd, io.Reader) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"="+role+":"+directory)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return command, output
}

func TestASecondProcessIsToldWhoHoldsTheLedger(t *testing.T) {
	directory := t.TempDir()
	command, output := startChild(t, "hold", directory)
	line := make([]byte, 6)
	if _, err := io.ReadFull(output, line); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := Open(directory, Options{Holder: "run"})
	locked, ok := errors.AsType[*LockedError](err)
	if !ok || locked.PID != command.Process.Pid || locked.Holder != "hold" || locked.Directory != directory {
		t.Fatalf("got %v", err)
	}
	if want := fmt.Sprintf("held by process %d (ssmonitor hold)", command.Process.Pid); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not contain %q", err, want)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	s, _, _ := open(t, directory)
	save(t, s, stateOf(1))
}

func TestKillWhileSaving(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	directory := t.TempDir()
	var acknowledged uint64
	for range 25 {
		command, output := startChild(t, "save", directory)
		// The child is killed some time after one of its first saves.
		after := acknowledged + 1 + random.Uint64N(12)
		for acknowledged < after {
			if _, err := fmt.Fscanln(output, &acknowledged); err != nil {
				t.Fatalf("after save %d: %v", acknowledged, err)
			}
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for n := uint64(0); ; {
			if _, err := fmt.Fscanln(output, &n); err != nil {
				break
			}
			acknowledged = n
		}
		_ = command.Wait()
		state, notices, err := Read(directory)
		if err != nil || len(notices) > 0 {
			t.Fatalf("after save %d: %v, %v", acknowledged, err, notices)
		}
		got := state.In.Packets
		if got != acknowledged && got != acknowledged+1 {
			t.Fatalf("save %d was acknowledged, found %d", acknowledged, got)
		}
		wantState(t, state, stateOf(got))
		acknowledged = got
	}
}
