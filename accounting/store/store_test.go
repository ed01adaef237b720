package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

func TestANewLedgerIsEmpty(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "a", "state")
	if _, err := Usage(t.Context(), directory, usage.Query{By: usage.ByMonth}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "nothing has been saved in "+directory) {
		t.Errorf("Usage: got %v", err)
	}
	s, state, notices := open(t, directory)
	if len(notices) > 0 {
		t.Errorf("got notices %v", notices)
	}
	wantState(t, state, accounting.State{})
	if report := recorded(t, directory, usage.ByMonth); len(report.Rows) > 0 {
		t.Errorf("got usage %v, want none", report.Rows)
	}
	closeStore(t, s)
	wantSound(t, directory)
}

func TestWhatIsSavedIsThereAgain(t *testing.T) {
	directory := t.TempDir()
	for n := range uint64(5) {
		s, state, notices := open(t, directory)
		wantState(t, state, stateAt(n, int(3*min(n, 1))))
		if len(notices) > 0 {
			t.Errorf("got notices %v", notices)
		}
		save(t, s, stateAt(n+1, 3))
		wantState(t, lastSave(t, directory), stateAt(n+1, 3))
		if n%2 == 0 {
			closeStore(t, s)
		} else {
			directory = killed(t, s)
		}
	}
	wantSound(t, directory)
}

// TestExtremeValues saves values that no counter ever reaches.
func TestExtremeValues(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	key := accounting.Key{Port: 65535, Protocol: accounting.UDP, Direction: accounting.Out}
	total := accounting.Count{Packets: 1<<63 - 1, Bytes: 1<<63 - 1}
	want := accounting.State{Out: total, Accounts: []accounting.Account{{
		Key: key, Total: total, Last: accounting.Count{Packets: 1<<64 - 1, Bytes: 1 << 63},
		Epoch: accounting.Epoch{0: 255, 15: 255}, Handle: 1<<64 - 1,
	}}}
	save(t, s, want)
	directory = killed(t, s)
	_, state, _ := open(t, directory)
	wantState(t, state, want)
	wantSound(t, directory)
}

// TestATotalNeverFalls saves a smaller total, as a faulty caller would.
func TestATotalNeverFalls(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(5, 2))
	if err := s.Save(stateAt(4, 2)); err == nil || !strings.Contains(err.Error(), "less than the 5000 that are saved") {
		t.Errorf("Save of an older state: got %v, want an error", err)
	}
	save(t, s, stateAt(6, 2))
	wantSound(t, directory)
}

// TestAGainBelongsToItsReading saves readings of several hours at once, some of
// which are saved already.
func TestAGainBelongsToItsReading(t *testing.T) {
	key := accounting.Key{Port: 1, Protocol: accounting.TCP}
	gain := func(hour int, bytes uint64) accounting.Gain {
		return accounting.Gain{Time: noon.Add(time.Duration(hour) * time.Hour), Key: key, Count: accounting.Count{Packets: 1, Bytes: bytes}}
	}
	account := func(bytes uint64) accounting.State {
		return accounting.State{Accounts: []accounting.Account{{Key: key, Total: accounting.Count{Packets: 1, Bytes: bytes}}}}
	}
	tests := []struct {
		name  string
		saved uint64
		total uint64
		gains []accounting.Gain
		want  []uint64 // by hour from noon on
	}{
		{"each in its hour", 0, 111, []accounting.Gain{gain(0, 1), gain(1, 10), gain(2, 100)}, []uint64{1, 10, 100}},
		{"the older ones were saved", 11, 111, []accounting.Gain{gain(0, 1), gain(1, 10), gain(2, 100)}, []uint64{11, 0, 100}},
		{"one was saved in part", 6, 111, []accounting.Gain{gain(0, 1), gain(1, 10), gain(2, 100)}, []uint64{6, 5, 100}},
		{"what no reading explains", 0, 120, []accounting.Gain{gain(0, 1), gain(2, 100)}, []uint64{1, 0, 119}},
		{"no reading at all", 0, 7, nil, []uint64{7}},
		{"a clock that was set back", 0, 11, []accounting.Gain{gain(1, 1), gain(0, 10)}, []uint64{10, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			directory := t.TempDir()
			s, _, _ := open(t, directory)
			if test.saved > 0 {
				save(t, s, account(test.saved))
			}
			state := account(test.total)
			state.Gains = test.gains
			save(t, s, state)
			want := make(map[int64]uint64)
			for hour, bytes := range test.want {
				if bytes > 0 {
					want[noon.Add(time.Duration(hour)*time.Hour).Unix()] = bytes
				}
			}
			rows := recorded(t, directory, usage.ByHour).Rows
			for _, row := range rows {
				if want[row.Start.Unix()] != row.In.Bytes {
					t.Errorf("at %s: got %d bytes, want %d", row.Start, row.In.Bytes, want[row.Start.Unix()])
				}
			}
			if len(rows) != len(want) {
				t.Errorf("got %d rows, want %d", len(rows), len(want))
			}
			wantSound(t, directory)
		})
	}
}

func TestSaveAfterClose(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	closeStore(t, s)
	closeStore(t, s)
	if err := s.Save(stateAt(1, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestNothingNewIsNotWritten(t *testing.T) {
	directory := t.TempDir()
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 1))
	stopBackup(s)
	before := snapshot(t, directory)
	save(t, s, accounting.State{In: stateAt(1, 1).In})
	s.ResolveNames(accounting.Ports{{Number: 20000, Protocols: accounting.OnlyTCP}})
	for name, content := range snapshot(t, directory) {
		if before[name] != content && !strings.HasSuffix(name, "-shm") {
			t.Errorf("%s was written", name)
		}
	}
}

func TestCalendarOptions(t *testing.T) {
	for _, day := range []int{-1, 29, 31} {
		if _, _, _, err := Open(t.TempDir(), Options{MonthDay: day}); err == nil || !strings.Contains(err.Error(), "1 to 28") {
			t.Errorf("day %d: %v", day, err)
		}
	}
	// Without options the calendar stays as it is.
	directory := t.TempDir()
	tehran, err := time.LoadLocation("Asia/Tehran")
	if err != nil {
		t.Fatal(err)
	}
	options := at(noon)
	options.Zone, options.MonthDay = tehran, 7
	s, _, _ := openWith(t, directory, options)
	save(t, s, stateAt(1, 1))
	closeStore(t, s)
	s, _, _ = openWith(t, directory, Options{Holder: "teardown"})
	save(t, s, stateAt(2, 1))
	closeStore(t, s)
	if calendar := calendarOf(t, directory); calendar.Zone.String() != "Asia/Tehran" || calendar.MonthDay != 7 {
		t.Errorf("got the calendar of %s, day %d", calendar.Zone, calendar.MonthDay)
	}
}

func TestHoursAndDaysAreKeptForTheirTime(t *testing.T) {
	directory := t.TempDir()
	now := noon
	options := at(noon)
	options.Now, options.KeepHours, options.KeepDays = func() time.Time { return now }, 10*time.Hour, 72*time.Hour
	s, _, _ := openWith(t, directory, options)
	for n := range uint64(200) {
		save(t, s, stateAt(n+1, 1))
		now = now.Add(time.Hour)
	}
	save(t, s, stateAt(201, 1))
	first := func(by usage.Period) time.Time { return recorded(t, directory, by).Rows[0].Start }
	if got, want := first(usage.ByHour), now.Add(-10*time.Hour); !got.Equal(want) {
		t.Errorf("first hour: got %s, want %s", got, want)
	}
	if got := now.Sub(first(usage.ByDay)); got < 72*time.Hour || got > 96*time.Hour {
		t.Errorf("first day: got %s ago", got)
	}
	if got := first(usage.ByMonth); got.Month() != time.November {
		t.Errorf("first month: got %s", got)
	}
	wantSound(t, directory)
	in, _ := sums(recorded(t, directory, usage.ByTotal))
	if want := stateAt(201, 1).In; in != want {
		t.Errorf("got total %v, want %v", in, want)
	}
}

func TestCheckFindsWhatDiffers(t *testing.T) {
	for _, change := range []string{
		"update usage set bytes_in = bytes_in + 1 where period = 1",
		"update usage set packets_out = packets_out - 1 where period = 2",
		"update account set bytes = bytes + 1 where direction = 1 and protocol = 17",
		"delete from usage where period = 0",
		"insert into pruned values (1, 7, 6, 0, 0, 0, 1)",
	} {
		directory := t.TempDir()
		s, _, _ := open(t, directory)
		save(t, s, stateAt(1, 1))
		if err := s.db.Exec(change); err != nil {
			t.Fatal(err)
		}
		if problems, err := Check(directory); err != nil || len(problems) == 0 {
			t.Errorf("after %q: Check returns %v, %v, want problems", change, problems, err)
		}
	}
}

// TestCheckOfManyPorts adds up the usage of each port once. Comparing each with each other
// took a minute.
func TestCheckOfManyPorts(t *testing.T) {
	directory := fast(t)
	s, _, _ := open(t, directory)
	save(t, s, stateAt(1, 5000))
	closeStore(t, s)
	began := time.Now()
	wantSound(t, directory)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it takes %s", took)
	}
}
