package interfaces

import (
	"errors"
	"testing"
)

func TestLinesOfRoutes(t *testing.T) {
	for _, test := range []struct {
		line   string
		parse  func([]byte) (bool, error)
		usable bool
		wrong  bool
	}{
		{"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0   ", isDefault4, true, false},
		{"eth0\t00000080\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0", isDefault4, true, false},
		{"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t000000C0\t0\t0\t0", isDefault4, false, false},
		{"lo\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0", isDefault4, false, false},
		{"eth0\t00000000\t010200C0\t0003\t0\t0\t0", isDefault4, false, true},
		{"eth0\t00000000\t010200C0\tflags\t0\t0\t0\t00000000\t0\t0\t0", isDefault4, false, true},
		{"", isDefault4, false, true},
		{"0 00 0 00 f 00000400 00000003 00000000 00000003     eth0", isDefault6, true, false},
		{"0 02 0 00 f 00000400 00000003 00000000 00000003     eth0", isDefault6, false, false},
		{"0 00 0 00 f ffffffff 00000001 00000000 00200200       lo", isDefault6, false, false},
		{"0 00 0 00 f", isDefault6, false, true},
		{"0 length", isDefault6, false, true},
	} {
		usable, err := test.parse([]byte(test.line))
		if usable != test.usable || errors.Is(err, ErrMalformed) != test.wrong || !test.wrong && err != nil {
			t.Errorf("%q: got %t, %v, want %t, malformed %t", test.line, usable, err, test.usable, test.wrong)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0"))
	f.Add([]byte("0 00 0 00 f 00000400 00000003 00000000 00000003     eth0"))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, parse := range []func([]byte) (bool, error){isDefault4, isDefault6} {
			if usable, err := parse(line); usable && err != nil {
				t.Errorf("%q: usable beside %v", line, err)
			}
		}
	})
}
