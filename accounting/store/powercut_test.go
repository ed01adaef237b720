package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"

	"ssmonitor/accounting"
)

const sectorSize = 512

// recorder is a file system that records all operations, so that a test can
// construct what is on the disk after a power cut at any moment.
type recorder struct {
	vfs.VFSFilename
	mutex sync.Mutex
	log   []operation
}

// operation is a write, a truncation (data nil), or a sync (offset -1).
type operation struct {
	path   string
	offset int64
	data   []byte
}

func (r *recorder) add(op operation) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.log = append(r.log, op)
}

// take returns the operations since the last call.
func (r *recorder) take() []operation {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	log := r.log
	r.log = nil
	return log
}

func (r *recorder) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return r.record(name)(r.VFSFilename.Open(name, flags))
}

func (r *recorder) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return r.record(name.String())(r.VFSFilename.OpenFilename(name, flags))
}

func (r *recorder) record(path string) func(vfs.File, vfs.OpenFlag, error) (vfs.File, vfs.OpenFlag, error) {
	return func(file vfs.File, flags vfs.OpenFlag, err error) (vfs.File, vfs.OpenFlag, error) {
		if plain, ok := file.(wholeFile); ok && err == nil {
			return &recordedFile{plain, r, path}, flags, nil
		}
		return file, flags, err
	}
}

// wholeFile lists what a file of sqlitefile can do.
type wholeFile interface {
	vfs.FilePersistWAL
	vfs.FileSharedMemory
	vfs.FileSizeHint
	vfs.FileHasMoved
}

type recordedFile struct {
	wholeFile
	recorder *recorder
	path     string
}

func (f *recordedFile) WriteAt(data []byte, offset int64) (int, error) {
	f.recorder.add(operation{f.path, offset, slices.Clone(data)})
	return f.wholeFile.WriteAt(data, offset)
}

func (f *recordedFile) Truncate(size int64) error {
	f.recorder.add(operation{f.path, size, nil})
	return f.wholeFile.Truncate(size)
}

func (f *recordedFile) Sync(flags vfs.SyncFlag) error {
	f.recorder.add(operation{f.path, -1, nil})
	return f.wholeFile.Sync(flags)
}

// recording returns options of a store that is recorded.
func recording(t *testing.T) (*recorder, Options) {
	t.Helper()
	r := &recorder{VFSFilename: vfs.Find("ssmonitor").(vfs.VFSFilename)}
	name := "recorder-" + t.Name()
	vfs.Register(name, r)
	t.Cleanup(func() { vfs.Unregister(name) })
	options := at(noon)
	options.vfs = name
	return r, options
}

// cut returns the files after a power cut. Operations of log before the last sync
// of their file are on the disk. Each sector of the later ones may or may not have
// been written, in any order.
func cut(before map[string]string, log []operation, random *rand.Rand) map[string]string {
	files := make(map[string][]byte)
	for name, content := range before {
		files[name] = []byte(content)
	}
	synced := make(map[string]int)
	for i, op := range log {
		if op.offset < 0 {
			synced[op.path] = i
		}
	}
	chance := random.IntN(5) // that a write reaches the disk, from never to always
	for i, op := range log {
		name := filepath.Base(op.path)
		durable := i < synced[op.path]
		switch {
		case op.offset < 0:
		case op.data == nil:
			if durable || random.IntN(4) < chance {
				files[name] = files[name][:min(int64(len(files[name])), op.offset)]
			}
		default:
			for at := 0; at < len(op.data); at += sectorSize {
				if durable || random.IntN(4) < chance {
					files[name] = put(files[name], op.data[at:min(at+sectorSize, len(op.data))], op.offset+int64(at))
				}
			}
		}
	}
	after := make(map[string]string)
	for name, content := range files {
		after[name] = string(content)
	}
	return after
}

func put(file, data []byte, offset int64) []byte {
	if missing := offset + int64(len(data)) - int64(len(file)); missing > 0 {
		file = append(file, make([]byte, missing)...)
	}
	copy(file[offset:], data)
	return file
}

// TestPowerCutDuringASave cuts the power at every operation of a save and of the
// checkpoint after it. The ledger then has that save or the one before it.
func TestPowerCutDuringASave(t *testing.T) {
	r, options := recording(t)
	directory := fast(t)
	s, _, _ := openWith(t, directory, options)
	const ports, saves = 12, 14
	save(t, s, stateAt(1, ports))
	stopBackup(s)
	random := rand.New(rand.NewPCG(3, 4))
	target := fast(t)
	opened := make(map[uint64]int)
	for n := uint64(2); n <= saves; n++ {
		before := snapshot(t, directory)
		delete(before, lockName)
		r.take()
		save(t, s, stateAt(n, ports))
		durable := len(r.log)
		if n%5 == 0 { // the log starts again after this
			checkpoint(t, s.db)
		}
		log := r.take()
		for moment := range len(log) + 1 {
			for range 3 {
				restore(t, target, cut(before, log[:moment], random))
				got := expectOpens(t, target, ports, n-1, n)
				if moment >= durable && got != n {
					t.Fatalf("got save %[2]d, but save %[1]d was durable", n, got)
				}
				if opened[got]++; t.Failed() {
					t.Fatalf("at operation %d of %d of save %d", moment, len(log), n)
				}
			}
		}
	}
	t.Logf("opened to (save: times) %v", opened)
}

// expectOpens opens the ledger after a power cut, saves again, and returns the
// save that it had.
func expectOpens(t *testing.T, directory string, ports int, saves ...uint64) uint64 {
	t.Helper()
	s, state, notices := open(t, directory)
	if len(notices) > 0 {
		t.Errorf("got notices %v", notices)
	}
	got := state.In.Packets / (2 * uint64(ports))
	if !slices.Contains(saves, got) {
		t.Errorf("got save %d, want one of %v", got, saves)
	}
	wantState(t, state, stateAt(got, min(int(got), 1)*ports))
	s.backup.due = noon.Add(backupEvery)
	save(t, s, stateAt(got+1, ports))
	abandon(s)
	wantSound(t, directory)
	return got
}

// TestPowerCutDuringABackup cuts the power at every operation of a backup. The
// backup is then the old or the new one, and the database is unchanged.
func TestPowerCutDuringABackup(t *testing.T) {
	r, options := recording(t)
	directory := fast(t)
	random := rand.New(rand.NewPCG(5, 6))
	var before map[string]string
	var log, renamed []operation
	options.rename = func(from, to string) error {
		if filepath.Base(to) == backupName {
			// Its contents must be durable before the rename.
			renamed = slices.Clone(r.log)
		}
		return os.Rename(from, to)
	}
	s, _, _ := openWith(t, directory, options)
	const ports = 20
	save(t, s, stateAt(1, ports))
	awaitBackup(s)
	save(t, s, stateAt(2, ports))
	before = snapshot(t, directory)
	delete(before, lockName)
	r.take()
	if _, err := s.makeBackup(t.Context()); err != nil {
		t.Fatal(err)
	}
	log = r.take()
	target := fast(t)
	for moment := range len(log) + 1 {
		files := cut(before, log[:moment], random)
		restore(t, target, files)
		expectOpens(t, target, ports, 2)
		// The database is damaged as well.
		files[databaseName], files[databaseName+"-wal"] = "damaged", ""
		restore(t, target, files)
		s, state, notices := open(t, target)
		wantState(t, state, stateAt(1, ports))
		abandon(s)
		if t.Failed() {
			t.Fatalf("at operation %d: got notices %v", moment, notices)
		}
	}
	// After the rename, no write of the backup may be lost.
	for range 20 {
		files := cut(before, renamed, random)
		delete(files, databaseName)
		delete(files, databaseName+"-wal")
		files[backupName] = files[backupName+newSuffix]
		restore(t, target, files)
		s, state, _ := open(t, target)
		wantState(t, state, stateAt(2, ports))
		abandon(s)
	}
	t.Logf("%d operations", len(log))
}

// TestPowerCutDuringTheFirstStart cuts the power while a database is created.
func TestPowerCutDuringTheFirstStart(t *testing.T) {
	r, options := recording(t)
	random := rand.New(rand.NewPCG(7, 8))
	directory := fast(t)
	var names []string
	options.rename = func(from, to string) error {
		names = append(names, fmt.Sprint(len(r.log), " ", filepath.Base(to)))
		return os.Rename(from, to)
	}
	s, _, _ := openWith(t, directory, options)
	log := r.take()
	abandon(s)
	target := fast(t)
	for moment := range log {
		restore(t, target, cut(nil, log[:moment], random))
		s, state, notices := open(t, target)
		wantState(t, state, accounting.State{})
		for _, notice := range notices {
			if notice.Lost && len(names) > 0 {
				t.Errorf("at operation %d: got %v (renames %v)", moment, notices, names)
			}
		}
		abandon(s)
	}
}
