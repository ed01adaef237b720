package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

// queries are one of each kind.
var queries = []usage.Query{
	{By: usage.ByHour}, {By: usage.ByDay}, {By: usage.ByMonth}, {By: usage.ByTotal},
	{By: usage.ByHour, Since: noon.Add(time.Hour), Until: noon.Add(3 * time.Hour)},
	{By: usage.ByTotal, Since: noon.Add(time.Hour), Until: noon.Add(3 * time.Hour)},
	{By: usage.ByDay, Clients: []usage.ClientID{{Name: "alice"}}},
	{By: usage.ByTotal, Ports: []uint16{20001}},
	{By: usage.ByMonth, Since: noon.AddDate(0, 1, 0)},
}

// answers returns the answers to all queries.
func answers(t *testing.T, history History) (all []usage.Records) {
	t.Helper()
	err := history.View(t.Context(), func(recorded usage.Snapshot) error {
		for _, query := range queries {
			records, err := recorded.Usage(query)
			if err != nil {
				return err
			}
			if len(records.Rows) == 0 {
				records.Rows = nil
			}
			all = append(all, *records)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestUsageIsTheSameBeforeAndAfterASave lets traffic come at random times: what is reported
// from what was read is what the next save records, whatever was saved before.
func TestUsageIsTheSameBeforeAndAfterASave(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 24))
			now := noon
			options := at(noon)
			options.Now = func() time.Time { return now }
			s, _, _ := openWith(t, fast(t), options)
			ports := accounting.Ports{
				{Number: 20000, Name: "alice", Protocols: accounting.TCPAndUDP}, {Number: 20001, Name: "bob", Protocols: accounting.OnlyTCP},
				{Number: 20002, Protocols: accounting.OnlyUDP},
			}
			s.ResolveNames(ports)
			ledger := accounting.NewLedger(accounting.State{})
			var sample accounting.Sample
			for _, key := range ports.Keys() {
				sample.Readings = append(sample.Readings, accounting.Reading{Key: key})
			}
			history := History{Directory: s.directory, Unsaved: func() accounting.Unsaved {
				changes := ledger.Changes()
				return accounting.Unsaved{Time: sample.Time, Ports: ports, Accounts: changes.Accounts, Gains: changes.Gains}
			}}
			for range 8 {
				for range random.IntN(4) {
					now = now.Add(time.Duration(random.IntN(100)) * time.Minute)
					sample.Time = now
					for i := range sample.Readings {
						if random.IntN(3) == 0 {
							sample.Readings[i].Count = sample.Readings[i].Count.Plus(accounting.Count{Packets: 1, Bytes: 1 + random.Uint64N(1000)})
						}
					}
					ledger.Add(&sample)
				}
				before := answers(t, history)
				changes := ledger.Changes()
				save(t, s, changes)
				if diff := cmp.Diff(before, answers(t, history)); diff != "" {
					t.Fatalf("saved, but the agent does not know (-before +after):\n%s", diff)
				}
				ledger.MarkSaved()
				if diff := cmp.Diff(before, answers(t, History{Directory: s.directory})); diff != "" {
					t.Fatalf("(-before +after):\n%s", diff)
				}
			}
			var want accounting.Count
			for _, reading := range sample.Readings {
				want = want.Plus(reading.Count)
			}
			if in, out := sums(&answers(t, history)[0]); in.Plus(out) != want || want.Bytes == 0 {
				t.Errorf("all hours have %v, want %v", in.Plus(out), want)
			}
		})
	}
}

// TestUsageBeforeTheFirstSave has no directory to save in.
func TestUsageBeforeTheFirstSave(t *testing.T) {
	changes := stateAt(7, 2)
	for i, hour := range []int{0, 2} {
		account := changes.Accounts[4*i]
		changes.Gains = append(changes.Gains, accounting.Gain{Time: noon.Add(time.Duration(hour) * time.Hour), Key: account.Key, Count: account.Total})
	}
	history := History{
		Directory: filepath.Join(t.TempDir(), "none"), Calendar: usage.Calendar{Zone: time.UTC, MonthDay: 1},
		Unsaved: func() accounting.Unsaved {
			return accounting.Unsaved{Time: noon, Ports: accounting.Ports{{Number: 20000, Name: "alice"}}, Accounts: changes.Accounts, Gains: changes.Gains}
		},
	}
	var want accounting.Count
	for _, account := range changes.Accounts {
		want = want.Plus(account.Total)
	}
	for i, records := range answers(t, history)[:4] {
		in, out := sums(&records)
		if got := in.Plus(out); got != want {
			t.Errorf("%+v: got %v, want %v", queries[i], got, want)
		}
		if last := records.Rows[len(records.Rows)-1]; last.Client != "alice" || last.Port != 20000 {
			t.Errorf("%+v: the last row is %+v, want one of alice, whom the agent names", queries[i], last)
		}
	}
	history.Unsaved = func() accounting.Unsaved { return accounting.Unsaved{} }
	err := history.View(t.Context(), func(usage.Snapshot) error { return nil })
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing was read: got %v, want fs.ErrNotExist", err)
	}
}
