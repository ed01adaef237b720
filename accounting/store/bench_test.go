package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"ssmonitor/accounting"
)

// BenchmarkSave saves ledgers in which every account has changed. The heap is
// what the store keeps between saves.
func BenchmarkSave(b *testing.B) {
	for _, accounts := range []int{20, 2000, 40000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			states := [3]accounting.State{} // two would give each file the same one every time
			for i := range states {
				states[i] = stateOf(uint64(i + 1))
				states[i].Accounts = accountsOf(uint64(i+1), accounts/4)
			}
			before := heap()
			directory := b.TempDir()
			s, _, _ := open(b, directory)
			save(b, s, states[0], states[1])
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				save(b, s, states[(i+2)%3])
			}
			b.ReportMetric(float64(heap()-before)/1024, "heap-KiB")
			b.ReportMetric(float64(fileSize(b, directory))/1024, "file-KiB")
			closeStore(b, s)
		})
	}
}

// BenchmarkOpen opens ledgers as a killed agent leaves them.
func BenchmarkOpen(b *testing.B) {
	for _, accounts := range []int{20, 2000, 40000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			directory := b.TempDir()
			s, _, _ := open(b, directory)
			for n := range uint64(4) {
				state := stateOf(n)
				state.Accounts = accountsOf(n, accounts/4)
				save(b, s, state)
			}
			kill(s)
			b.ReportAllocs()
			for b.Loop() {
				s, _, _ := open(b, directory)
				closeStore(b, s)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var statistics runtime.MemStats
	runtime.ReadMemStats(&statistics)
	return int64(statistics.HeapAlloc)
}

func fileSize(b *testing.B, directory string) int64 {
	information, err := os.Stat(filepath.Join(directory, fileNames[0]))
	if err != nil {
		b.Fatal(err)
	}
	return information.Size()
}
