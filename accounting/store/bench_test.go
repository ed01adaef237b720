package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting/usage"
)

// BenchmarkSave saves ledgers in which every account has changed.
func BenchmarkSave(b *testing.B) {
	for _, accounts := range []int{12, 4000, 40000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			directory := b.TempDir()
			s, _, _ := open(b, directory)
			state := stateAt(1, accounts/4)
			save(b, s, state)
			awaitBackup(s)
			n := uint64(1)
			written, used := bytesWritten(b), cpu(b)
			for b.Loop() {
				n++
				for i := range state.Accounts {
					account := &state.Accounts[i]
					account.Total.Packets, account.Total.Bytes = account.Total.Packets+1, account.Total.Bytes+1500
					account.Last = account.Total
				}
				save(b, s, state)
			}
			b.ReportMetric(float64(bytesWritten(b)-written)/float64(b.N)/1024, "written-KiB/op")
			b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
			b.ReportMetric(residentMegabytes(b), "resident-MB")
			abandon(s)
		})
	}
}

// BenchmarkFiveYears opens and queries the database of 1,000 ports after five
// years: 90 days of hours, 8 of them active per day, and all days and months.
func BenchmarkFiveYears(b *testing.B) {
	const ports = 1000
	directory := b.TempDir()
	s, _, _ := open(b, directory)
	state := stateAt(1, ports)
	save(b, s, state)
	awaitBackup(s)
	fiveYears(b, s)
	closeStore(b, s)
	information, err := os.Stat(filepath.Join(directory, databaseName))
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("the database has %d MB", information.Size()>>20)
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	queries := []struct {
		name  string
		query usage.Query
	}{
		{"one month", usage.Query{By: usage.ByMonth, Since: month, Until: month.AddDate(0, 1, 0)}},
		{"60 months", usage.Query{By: usage.ByMonth}},
		{"the days of a month", usage.Query{By: usage.ByDay, Since: month, Until: month.AddDate(0, 1, 0)}},
		{"in total", usage.Query{By: usage.ByTotal}},
	}
	for _, q := range queries {
		b.Run(strings.ReplaceAll(q.name, " ", "-"), func(b *testing.B) {
			used := cpu(b)
			for b.Loop() {
				if _, err := Usage(b.Context(), directory, q.query); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
	b.Run("open", func(b *testing.B) {
		used := cpu(b)
		for b.Loop() {
			s, _, _ := open(b, directory)
			abandon(s)
		}
		b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
		b.ReportMetric(residentMegabytes(b), "resident-MB")
	})
	b.Run("backup", func(b *testing.B) {
		s, _, _ := open(b, directory)
		defer abandon(s)
		used := cpu(b)
		for b.Loop() {
			if _, err := s.makeBackup(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-us/op")
	})
}

// fiveYears fills the usage tables with SQL.
func fiveYears(b *testing.B, s *Store) {
	b.Helper()
	fill := func(period int, count, step int64) string {
		return fmt.Sprintf(`
			insert or ignore into period
				with recursive n(i) as (select 0 union all select i + 1 from n where i < %[2]d - 1)
				select %[1]d, %[4]d + i * %[3]d, %[4]d + (i + 1) * %[3]d, '' from n;
			insert or ignore into usage
				select %[1]d, start, tenure.id, protocol, 100, 150000, 90, 90000
				from period, tenure, (select 6 as protocol union all select 17)
				where period = %[1]d and (%[1]d > 0 or (start / 3600) %% 3 = 0);`,
			period, count, step, noon.Unix()/step*step-count*step)
	}
	const day = 24 * 3600
	if err := s.db.Exec("begin; " + fill(hourPeriod, 90*24, 3600) + fill(dayPeriod, 5*365, day) + "commit"); err != nil {
		b.Fatal(err)
	}
	for i := range 60 {
		start := time.Date(2021, time.Month(12+i), 1, 0, 0, 0, 0, time.UTC)
		if err := s.db.Exec(fmt.Sprintf(`insert or ignore into period values (2, %[1]d, %[2]d, '');
			insert or ignore into usage select 2, %[1]d, tenure.id, protocol, 100, 150000, 90, 90000
			from tenure, (select 6 as protocol union all select 17)`, start.Unix(), start.AddDate(0, 1, 0).Unix())); err != nil {
			b.Fatal(err)
		}
	}
}

// cpu returns the CPU time of the process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var records syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &records); err != nil {
		b.Fatal(err)
	}
	return time.Duration(records.Utime.Nano() + records.Stime.Nano())
}

func bytesWritten(b *testing.B) int64 { return procValue(b, "/proc/self/io", "wchar:") }

func residentMegabytes(b *testing.B) float64 {
	return float64(procValue(b, "/proc/self/status", "VmRSS:")) / 1024
}

func procValue(b *testing.B, path, name string) (value int64) {
	b.Helper()
	for line := range strings.Lines(string(readAll(b, path))) {
		if rest, found := strings.CutPrefix(line, name); found {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				b.Fatal(err)
			}
		}
	}
	return value
}
