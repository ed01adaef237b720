package csv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
)

func TestCSVIsTheBlogPostsForm(t *testing.T) {
	testkit.Golden(t, "ports.csv", string(appendRates(nil, sample.Report())))
}

func TestCSVAllocatesNothingInTheSteadyState(t *testing.T) {
	report := sample.ManyPorts(1000)
	buffer := appendRates(nil, report)
	if allocations := testing.AllocsPerRun(10, func() { buffer = appendRates(buffer[:0], report) }); allocations != 0 {
		t.Errorf("%v allocations a report, want none", allocations)
	}
}

func BenchmarkCSV(b *testing.B) {
	report := sample.ManyPorts(10000)
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = appendRates(buffer[:0], report)
	}
}

func TestCSVFileIsGoneWhereNoRateIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	file := NewFile(path)
	writeCSV(t, file)
	if err := file.Write(&accounting.Report{Time: sample.Noon, Ports: sample.Report().Ports}); err != nil {
		t.Fatal(err)
	}
	testkit.WantFiles(t, filepath.Dir(path))

	writeCSV(t, file)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 2 { // Somebody was faster, and then there is nothing to remove.
		if err := file.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WantFiles(t, filepath.Dir(path))
}

func TestCSVFileOfALivingAgentIsNotRemovedByASecondOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmonitor.csv")
	writeCSV(t, NewFile(path))
	if err := NewFile(path).Remove(); err != nil {
		t.Fatal(err)
	}
	testkit.WantFiles(t, filepath.Dir(path), "ssmonitor.csv")
}

func TestCSVFileRemovesWhatAKilledAgentLeft(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{
		"ssmonitor.csv", ".ssmonitor.csv.new", // what an agent leaves
		".ssmonitor.csv.tmp", ".ssmonitor.csv.newer", "ssmonitor.csv.new", ".other.csv.new",
	} {
		testkit.WriteFile(t, filepath.Join(directory, name), "")
	}
	if err := NewFile(filepath.Join(directory, "ssmonitor.csv")).RemoveStale(); err != nil {
		t.Fatal(err)
	}
	testkit.WantFiles(t, directory, ".ssmonitor.csv.tmp", ".ssmonitor.csv.newer", "ssmonitor.csv.new", ".other.csv.new")
}

func TestCSVFileRemovesNothingOfOthers(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "ssmonitor.csv")
	target := filepath.Join(directory, "target")
	testkit.WriteFile(t, target, "precious")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	want := []string{"ssmonitor.csv", "target"}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(directory, ".ssmonitor.csv.new")
		testkit.WriteFile(t, foreign, "")
		if err := os.Chown(foreign, 65534, -1); err != nil {
			t.Fatal(err)
		}
		want = append(want, ".ssmonitor.csv.new")
	}
	if err := NewFile(path).RemoveStale(); err != nil {
		t.Fatal(err)
	}
	testkit.WantFiles(t, directory, want...)
}

func TestCSVFileNamesADirectoryThatIsMissing(t *testing.T) {
	file := NewFile(filepath.Join(t.TempDir(), "missing", "ssmonitor.csv"))
	if err := file.RemoveStale(); err != nil {
		t.Errorf("there is nothing to clean, but %v", err)
	}
	if err := file.Write(sample.Report()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing: %v, want fs.ErrNotExist", err)
	}
}

// TestCSVFileOnAFullDisk has a write that fails after it has begun.
func TestCSVFileOnAFullDisk(t *testing.T) {
	directory := tinyDisk(t)
	filler := filepath.Join(directory, "filler")
	path := filepath.Join(directory, "ssmonitor.csv")
	file := NewFile(path)
	writeCSV(t, file)
	before := testkit.ReadFile(t, path)
	fill(t, filler)
	if err := file.Write(sample.ManyPorts(200)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing: %v, want ENOSPC", err)
	}
	if testkit.ReadFile(t, path) != before {
		t.Error("the file was changed by a write that failed")
	}
	testkit.WantFiles(t, directory, "filler", "ssmonitor.csv")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := file.Write(sample.ManyPorts(20)); err != nil {
		t.Errorf("after the disk was full: %v", err)
	}
}

// tinyDisk is a file system of 64 KiB that only this test's thread sees. The
// thread ends with the test, and with it, even where the test is killed, the
// mount.
func tinyDisk(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	testkit.PrivateMounts(t)
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

func writeCSV(t *testing.T, file *File) {
	t.Helper()
	if err := file.Write(sample.Report()); err != nil {
		t.Fatal(err)
	}
}
