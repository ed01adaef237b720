package units_test

import (
	"math"
	"testing"

	"ssmonitor/internal/units"
)

// The tables for people have columns of these widths.
const (
	bytesWidth = 9
	shareWidth = 6
)

func TestBytes(t *testing.T) {
	for bytes, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.00 kB", 999994: "999.99 kB", 999995: "1.00 MB", 46900000000: "46.90 GB",
		999995000: "1.00 GB", 1e12: "1.00 TB", 1e15: "1.00 PB", math.MaxUint64: "18.45 EB",
	} {
		if got := units.Bytes(bytes); got != want || len(got) > bytesWidth {
			t.Errorf("%d: got %q, want %q", bytes, got, want)
		}
	}
	for bytes, want := range map[float64]string{0: "0", 750: "750 B", 2.5e9: "2.5 GB", 1e12: "1 TB", 0.25: "0.25 B"} {
		if got := units.RoundBytes(bytes); got != want {
			t.Errorf("%v: got %q, want %q", bytes, got, want)
		}
	}
}

func TestShare(t *testing.T) {
	for share, want := range map[float64]string{0: "0.0%", 1e-9: "<0.1%", 0.0005: "0.1%", 0.1234: "12.3%", 0.9999: ">99.9%", 1: "100.0%"} {
		if got := units.Share(share); got != want || len(got) > shareWidth {
			t.Errorf("%v: got %q, want %q", share, got, want)
		}
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		value, largest uint64
		want           string
	}{{0, 10, ""}, {1, 1e9, "▏"}, {5, 10, "██"}, {10, 10, "████"}, {6, 10, "██▍"}, {math.MaxUint64, math.MaxUint64, "████"}, {0, 0, ""}} {
		if got := units.Bar(test.value, test.largest, 4); got != test.want {
			t.Errorf("%d of %d: got %q, want %q", test.value, test.largest, got, test.want)
		}
	}
}
