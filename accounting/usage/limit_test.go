package usage

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
)

func TestParseSize(t *testing.T) {
	tests := []struct {
		text string
		want uint64
	}{
		{"100GB", 100e9}, {"1.5TiB", 3 << 39}, {"500 MB", 500e6}, {" 1kb ", 1000}, {"1KiB", 1024}, {"2G", 2e9},
		{"1B", 1}, {"0.0000000015GB", 2}, {"0.0000000014GB", 1}, {"1mib", 1 << 20}, {"3PB", 3e15}, {"1PiB", 1 << 50},
		{"0.1GB", 1e8}, {"7T", 7e12}, {"1gib", 1 << 30}, {"0GB", 0},
	}
	for _, test := range tests {
		if got, err := ParseSize(test.text); err != nil || got != test.want {
			t.Errorf("%q: got %d, %v, want %d", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"", "GB", "100", "1,5GB", "-1GB", "1e3GB", "1/2GB", ".5GB", "5.GB", "100 giga", "1.2.3GB", "0x1GB", "१GB"} {
		if got, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("size %q: want a number and a unit", text)) {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
	if got, err := ParseSize("9224PB"); err == nil || !strings.Contains(err.Error(), "want less than 9223PB") {
		t.Errorf("got %d, %v", got, err)
	}
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"100GB", "1.5TiB", "0.0000000001B", "99999999999999999999PiB", "1/3GB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if size, err := ParseSize(text); err == nil && size > math.MaxInt64 {
			t.Errorf("%q: got %d, want an error", text, size)
		}
		if _, err := ParseLimits([]string{text, "a=" + text}); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("got an error of several lines: %v", err)
		}
	})
}

func TestParseLimits(t *testing.T) {
	limits, err := ParseLimits([]string{"100GB", "alice=50GB", "bob=none", "20000=1GB", "a=b=2GB"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		client  ClientID
		want    uint64
		limited bool
	}{
		{ClientID{Name: "alice"}, 50e9, true}, {ClientID{Name: "bob"}, 0, false}, {ClientID{Port: 20000}, 1e9, true}, {ClientID{Name: "port 20000"}, 100e9, true}, {ClientID{Name: "a=b"}, 2e9, true}, {ClientID{Name: "carol"}, 100e9, true},
	}
	for _, test := range tests {
		if got, limited := limits.For(test.client); got != test.want || limited != test.limited {
			t.Errorf("%v: got %d, %v, want %d, %v", test.client, got, limited, test.want, test.limited)
		}
	}
	failures := []struct {
		texts []string
		want  string
	}{
		{[]string{"alice=much"}, `warn "alice=much": want a number and a unit`},
		{[]string{"=5GB"}, "want a client before the equals sign"},
		{[]string{"0GB"}, "want more than 0 bytes, or none"},
		{[]string{"1GB", "2GB"}, "want one limit for all clients, this is the second"},
		{[]string{"a=1GB", "a=2GB"}, "want one limit for this client, this is the second"},
	}
	for _, test := range failures {
		if _, err := ParseLimits(test.texts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.texts, err, test.want)
		}
	}
}

// monthOf is the usage of clients in the month that begins at start.
func monthOf(start time.Time, bytes map[string]uint64) *Month {
	usage := &Month{Start: start}
	for client, n := range bytes {
		// Half of it on another port.
		usage.Rows = append(usage.Rows,
			Row{Start: start, End: start.AddDate(0, 1, 0), Client: client, Port: 1, Protocol: accounting.TCP, In: accounting.Count{Bytes: n / 2}},
			Row{Start: start, End: start.AddDate(0, 1, 0), Client: client, Port: 2, Protocol: accounting.UDP, Out: accounting.Count{Bytes: n - n/2}})
	}
	return usage
}

func TestLimitWatch(t *testing.T) {
	november, december := mustTime(t, "2026-11-01T00:00:00Z"), mustTime(t, "2026-12-01T00:00:00Z")
	limits := Limits{Default: 100, Clients: map[string]uint64{"bob": 50, "free": 0}}
	names := func(crossed []Crossing) string {
		var b strings.Builder
		for _, state := range crossed {
			fmt.Fprintf(&b, "%s %d/%d ", state.Client.Label(), state.Used, state.Limit)
		}
		return b.String()
	}
	watch := NewLimitWatch(limits, monthOf(november, map[string]uint64{"over before": 101, "alice": 100}))
	steps := []struct {
		name  string
		month time.Time
		usage map[string]uint64
		want  string
	}{
		{"at the limit", november, map[string]uint64{"over before": 150, "alice": 100, "bob": 50, "free": 1e9}, ""},
		{"beyond it", november, map[string]uint64{"over before": 150, "alice": 101, "bob": 51, "free": 1e9}, "alice 101/100 bob 51/50 "},
		{"once", november, map[string]uint64{"over before": 150, "alice": 201, "bob": 60, "free": 1e9}, ""},
		{"a new month", december, map[string]uint64{"alice": 10}, ""},
		{"beyond it again", december, map[string]uint64{"alice": 110}, "alice 110/100 "},
	}
	for _, step := range steps {
		if got := names(watch.Check(monthOf(step.month, step.usage))); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
	both := monthOf(november, map[string]uint64{"dave": 200})
	watch = NewLimitWatch(limits, both)
	both.Rows = append(both.Rows, monthOf(december, map[string]uint64{"dave": 150}).Rows...)
	if got := names(watch.Check(both)); got != "dave 150/100 " {
		t.Errorf("beyond it in the month after: got %q", got)
	}
	watch.SetLimits(Limits{Default: 140, Clients: map[string]uint64{"erin": 10}})
	both.Rows = append(both.Rows, monthOf(december, map[string]uint64{"erin": 11}).Rows...)
	if got := names(watch.Check(both)); got != "erin 11/10 " {
		t.Errorf("other limits: got %q, want only who was not over the limit before", got)
	}
	if got := NewLimitWatch(Limits{}, nil).Check(monthOf(november, map[string]uint64{"alice": 1e9})); got != nil {
		t.Errorf("without limits: %v", got)
	}
}
