package output

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"ssmonitor/accounting"
)

func TestCSVIsTheBlogPostsForm(t *testing.T) {
	golden(t, "ports.csv", string(AppendCSV(nil, sampleReport())))
}

func TestCSVAllocatesNothingInTheSteadyState(t *testing.T) {
	report := manyPorts(1000)
	buffer := AppendCSV(nil, report)
	if allocations := testing.AllocsPerRun(10, func() { buffer = AppendCSV(buffer[:0], report) }); allocations != 0 {
		t.Errorf("%v allocations a report, expected none", allocations)
	}
}

func BenchmarkCSV(b *testing.B) {
	report := manyPorts(10000)
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = AppendCSV(buffer[:0], report)
	}
}

func TestCSVFileHasItsModeWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	writeCSV(t, NewCSVFile(path))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o644 {
		t.Errorf("the mode is %s, expected 0644", info.Mode())
	}
	expectFiles(t, filepath.Dir(path), "ssmonitor.csv")
}

func TestCSVFileIsNotRedirectedByASymlink(t *testing.T) {
	directory := t.TempDir()
	victim := filepath.Join(directory, "victim")
	path := filepath.Join(directory, "ssmonitor.tmp")
	writeFile(t, victim, "precious")
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	writeCSV(t, NewCSVFile(path))
	if content := readFile(t, victim); content != "precious" {
		t.Errorf("the link's target now holds %q", content)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the link is still there: %v, %v", info, err)
	}
	expectFiles(t, directory, "ssmonitor.tmp", "victim")
}

func TestCSVFileReplacesAWholeFileByAWholeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	file := NewCSVFile(path)
	writeCSV(t, file)
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // It is only read.
	if err := file.Write(manyPorts(1)); err != nil {
		t.Fatal(err)
	}
	old := make([]byte, 1<<10)
	n, _ := reader.Read(old)
	if want := string(AppendCSV(nil, sampleReport())); string(old[:n]) != want {
		t.Errorf("a reader that had the file open sees %q, expected the old report %q", old[:n], want)
	}
}

func TestCSVFileIsGoneWhereNoRateIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	file := NewCSVFile(path)
	writeCSV(t, file)
	if err := file.Write(&accounting.Report{Time: noon, Ports: sampleReport().Ports}); err != nil {
		t.Fatal(err)
	}
	expectFiles(t, filepath.Dir(path))

	writeCSV(t, file)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 2 { // Somebody was faster, and then there is nothing to remove.
		if err := file.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	expectFiles(t, filepath.Dir(path))
}

func TestCSVFileOfALivingAgentIsNotRemovedByASecondOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	writeCSV(t, NewCSVFile(path))
	if err := NewCSVFile(path).Remove(); err != nil {
		t.Fatal(err)
	}
	expectFiles(t, filepath.Dir(path), "ssmonitor.csv")
}

func TestCSVFileCleansUpAfterAKilledAgent(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{
		"ssmonitor.csv", ".ssmonitor.csv.4711.tmp", // what an agent leaves
		".ssmonitor.csv.tmp", ".ssmonitor.csv.x1.tmp", ".ssmonitor.csv.1.tmpx", "ssmonitor.csv.1.tmp", ".other.csv.1.tmp",
	} {
		writeFile(t, filepath.Join(directory, name), "")
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(directory, ".ssmonitor.csv.1.tmp")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		".other.csv.1.tmp", ".ssmonitor.csv.1.tmp", ".ssmonitor.csv.1.tmpx", ".ssmonitor.csv.tmp",
		".ssmonitor.csv.x1.tmp", "ssmonitor.csv.1.tmp",
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(directory, ".ssmonitor.csv.2.tmp")
		writeFile(t, foreign, "")
		if err := os.Chown(foreign, 65534, -1); err != nil {
			t.Fatal(err)
		}
		want = append(want, ".ssmonitor.csv.2.tmp")
	}
	if err := NewCSVFile(filepath.Join(directory, "ssmonitor.csv")).Clean(); err != nil {
		t.Fatal(err)
	}
	expectFiles(t, directory, want...)
}

func TestCSVFileNamesADirectoryThatIsMissing(t *testing.T) {
	file := NewCSVFile(filepath.Join(t.TempDir(), "missing", "ssmonitor.csv"))
	if err := file.Clean(); err != nil {
		t.Errorf("there is nothing to clean, but %v", err)
	}
	if err := file.Write(sampleReport()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing: %v, expected fs.ErrNotExist", err)
	}
}

func TestCSVFileOnADiskThatFailsIsReportedOnceAndRecovers(t *testing.T) {
	directory := tinyDisk(t)
	filler := filepath.Join(directory, "filler")
	path := filepath.Join(directory, "ssmonitor.csv")
	file := NewCSVFile(path)
	var fault Fault
	observe := func(report *accounting.Report) Change { return fault.Observe(file.Write(report)) }
	expect := func(step string, got, want Change) {
		t.Helper()
		if got != want {
			t.Errorf("%s: change %d, expected %d", step, got, want)
		}
	}

	expect("the disk works", observe(sampleReport()), Unchanged)
	before := readFile(t, path)
	fill(t, filler)
	expect("the disk is full", observe(manyPorts(200)), Failed)
	expect("it is still full", observe(manyPorts(200)), Unchanged)
	if readFile(t, path) != before {
		t.Error("the file was changed by a write that failed")
	}
	expectFiles(t, directory, "filler", "ssmonitor.csv")

	remount(t, directory, syscall.MS_RDONLY)
	expect("it is read-only as well", observe(sampleReport()), Failed)
	expect("it is still read-only", observe(sampleReport()), Unchanged)
	remount(t, directory, 0)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	expect("the disk works again", observe(manyPorts(20)), Recovered)
	if fault.Failures() != 4 {
		t.Errorf("%d failures, expected 4", fault.Failures())
	}
	expect("and goes on working", observe(sampleReport()), Unchanged)
}

func TestFaultCountsEachSeriesByItself(t *testing.T) {
	var fault Fault
	for range 2 {
		fault.Observe(errors.New("one"))
		if fault.Observe(nil) != Recovered || fault.Failures() != 1 {
			t.Errorf("%d failures, expected 1", fault.Failures())
		}
	}
}

// tinyDisk is a file system of 64 KiB that only this test's thread sees. The
// thread ends with the test, and with it, even where the test is killed, the
// mount.
func tinyDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "mounting a file system needs root")
	}
	directory := t.TempDir()
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		skip(t, "a mount namespace is not to be had: "+err.Error())
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(directory, 0); err != nil {
			t.Error(err)
		}
	})
	return directory
}

func remount(t *testing.T, directory string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("", directory, "", syscall.MS_REMOUNT|flags, "size=64k"); err != nil {
		t.Fatal(err)
	}
}

// fill writes to a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if closing := file.Close(); closing != nil || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v, %v", err, closing)
	}
}

func writeCSV(t *testing.T, file *CSVFile) {
	t.Helper()
	if err := file.Write(sampleReport()); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func expectFiles(t *testing.T, directory string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, expected %q", got, want)
	}
}
