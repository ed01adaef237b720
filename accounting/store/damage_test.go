package store

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// damages are what disks and people can do to files.
var damages = []struct {
	name string
	do   func(file []byte, random *rand.Rand) []byte
}{
	{"a bit flips", func(file []byte, random *rand.Rand) []byte {
		file[random.IntN(len(file))] ^= 1 << random.IntN(8)
		return file
	}},
	{"a bit of the header flips", func(file []byte, random *rand.Rand) []byte {
		file[random.IntN(min(100, len(file)))] ^= 1 << random.IntN(8)
		return file
	}},
	{"a byte changes", func(file []byte, random *rand.Rand) []byte {
		file[random.IntN(len(file))] = byte(random.UintN(256))
		return file
	}},
	{"a sector is noise", func(file []byte, random *rand.Rand) []byte {
		at := random.IntN(len(file)) / sectorSize * sectorSize
		for i := at; i < min(at+sectorSize, len(file)); i++ {
			file[i] = byte(random.UintN(256))
		}
		return file
	}},
	{"a sector is zero", func(file []byte, random *rand.Rand) []byte {
		at := random.IntN(len(file)) / sectorSize * sectorSize
		clear(file[at:min(at+sectorSize, len(file))])
		return file
	}},
	{"a page is zero", func(file []byte, random *rand.Rand) []byte {
		at := random.IntN(len(file)) / 4096 * 4096
		clear(file[at:min(at+4096, len(file))])
		return file
	}},
	{"the file is cut off", func(file []byte, random *rand.Rand) []byte { return file[:random.IntN(len(file))] }},
	{"the file is empty", func([]byte, *rand.Rand) []byte { return nil }},
	{"the file is another one", func([]byte, *rand.Rand) []byte { return []byte(strings.Repeat("text ", 5000)) }},
}

const damagePorts, damageSaves = 25, 6

// undamaged returns the files of a ledger, which was not closed if killed is set.
// The backup has the third save.
func undamaged(t *testing.T, kill bool) map[string]string {
	t.Helper()
	directory := fast(t)
	now := noon
	options := at(noon)
	options.Now = func() time.Time { return now }
	s, _, _ := openWith(t, directory, options)
	for n := range uint64(damageSaves) {
		s.backup.due = noon.AddDate(1, 0, 0)
		now = now.Add(time.Hour)
		s.backup.due = now.Add(time.Hour)
		save(t, s, stateAt(n+1, damagePorts))
		if n == 2 {
			if _, err := s.makeBackup(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if kill {
		directory = killed(t, s)
	} else {
		s.backup.saves = s.saved.saves // the backup stays older
		closeStore(t, s)
	}
	files := snapshot(t, directory)
	delete(files, lockName)
	return files
}

var damageCount = flag.Int("damages", 100, "damage the ledger in this `number` of ways in TestDamages")

// TestDamages damages files at random, a thousand times in `make test`. Whatever
// can be read was saved before, and the ledger continues from it.
func TestDamages(t *testing.T) {
	const workers = 4
	each := *damageCount / workers
	whole := [2]map[string]string{undamaged(t, false), undamaged(t, true)}
	for worker := range workers {
		t.Run(fmt.Sprint("part ", worker), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(11, uint64(worker)))
			directory := fast(t)
			outcomes := make(map[string]int)
			for n := range each {
				files := maps.Clone(whole[n%2])
				done := damageSome(files, n%2 == 1, random)
				restore(t, directory, files)
				outcomes[surviveDamage(t, directory)]++
				if t.Failed() {
					t.Fatalf("damage %d: %v", n, done)
				}
			}
			t.Logf("outcomes: %v", outcomes)
		})
	}
}

// damageSome damages the database, the database and the backup, or the log.
func damageSome(files map[string]string, log bool, random *rand.Rand) (done []string) {
	names := []string{databaseName}
	if random.IntN(4) == 0 {
		names = append(names, backupName)
	}
	if log && random.IntN(3) == 0 {
		names = []string{databaseName + "-wal"}
	}
	for _, name := range names {
		damage := damages[random.IntN(len(damages))]
		files[name] = string(damage.do([]byte(files[name]), random))
		done = append(done, name+": "+damage.name)
	}
	return done
}

func surviveDamage(t *testing.T, directory string) (outcome string) {
	t.Helper()
	expectTruth(t, directory)
	s, state, notices := open(t, directory)
	lost := false
	for _, notice := range notices {
		lost = lost || notice.Lost
	}
	got := state.In.Packets / (2 * damagePorts)
	switch {
	case lost:
		outcome = "lost"
	case got == damageSaves && len(notices) == 0:
		outcome = "not noticed at the start"
	case len(notices) > 0:
		outcome = "backup"
	default:
		outcome = fmt.Sprintf("the log ends at save %d", got)
	}
	wantState(t, state, stateAt(got, min(int(got), 1)*damagePorts))
	// The next readings are saved.
	for n := uint64(damageSaves + 1); n < damageSaves+3; n++ {
		if err := s.Save(stateAt(n, damagePorts)); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	wantSound(t, directory) // the backup of Close has read all of it
	_, state, notices = open2(t, directory)
	wantState(t, state, stateAt(damageSaves+2, damagePorts))
	if len(notices) > 0 {
		t.Errorf("after the repair: got notices %v", notices)
	}
	in, out := sums(recorded(t, directory, usage.ByMonth))
	if want := stateAt(damageSaves+2, damagePorts); in != want.In || out != want.Out {
		t.Errorf("got usage %v and %v, want %v and %v", in, out, want.In, want.Out)
	}
	return outcome
}

// open2 opens a store and abandons it at once.
func open2(t *testing.T, directory string) (*Store, accounting.State, []Notice) {
	t.Helper()
	s, state, notices := open(t, directory)
	abandon(s)
	return s, state, notices
}

// expectTruth reads the ledger and the usage. Each returns an error or what was
// saved.
func expectTruth(t *testing.T, directory string) {
	t.Helper()
	found, _, err := read(directory, "")
	if err == nil {
		state := found.accounts.state()
		got := state.In.Packets / (2 * damagePorts)
		wantState(t, state, stateAt(got, min(int(got), 1)*damagePorts))
	} else if !errors.Is(err, ErrDamaged) && !errors.As(err, new(*NewerError)) {
		t.Errorf("reading: got %v", err)
	}
	for _, by := range []usage.Period{usage.ByHour, usage.ByTotal} {
		report, err := Usage(t.Context(), directory, usage.Query{By: by})
		if err != nil {
			continue
		}
		in, out := sums(report)
		got := in.Packets / (2 * damagePorts)
		if want := stateAt(got, damagePorts); got > 0 && (in != want.In || out != want.Out) {
			t.Errorf("by %s: got %v and %v, which were never saved", by, in, out)
		}
	}
}
