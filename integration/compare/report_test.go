package compare_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestREADME checks that the README and the plots show what is in results.csv.
// With -readme it writes them.
func TestREADME(t *testing.T) {
	r := readCSV(t, "results.csv")
	if *update {
		r.publish(t)
	}
	if _, got, _ := cutREADME(t); got != section(&r) {
		t.Errorf("the README has other figures than results.csv (-README +results):\n%s", cmp.Diff(got, section(&r)))
	}
	for _, p := range plots {
		got, err := os.ReadFile(p.file)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := p.draw(&r, &want); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s shows other figures than results.csv", p.file)
		}
	}
}

func TestSection(t *testing.T) {
	r := results{machine: "Linux 6.1, 2 processors", rows: []row{
		{perPacket, ssmonitor, 3, 0, 300, ""},
		{perPacket, ssmonitor, 3, 1, 9000, ""},
		{perPacket, ssmonitor, 3, 2, 400, ""},
		{perPacket, noRules, 3, 0, 2600, ""},
		{perPacket, legacyScript, 3, 0, 100, ""},
		{perPacket, legacyScript, 3, 1, 300, ""},
		{perPacket, ssmonitor, 10_000, 0, 500, ""},
		{perPacket, legacyScript, 10_000, 0, 617_000, ""},
		{perPacket, ssmonitor, 65_535, 0, 500, ""},
		{installing, legacyScript, 65_535, 0, 0, tooSlow(20e9).Error()},
		{resident, ssmonitor, 3, 0, 11 << 20, ""},
	}}
	var file bytes.Buffer
	if err := r.writeCSV(&file); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "results.csv")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	r = readCSV(t, path)
	got := section(&r)
	for _, want := range []string{
		"| ports | 3 | 10,000 | 65,535 |\n",
		"\n| ssmonitor | 400 ns | 500 ns | 500 ns |\n",
		"\n| iptables-legacy and a script | 200 ns, 0.5× | 617 µs, 1,234× | - |\n",
		"\n| iptables-nft and a script |  |  |  |\n",
		"\n| ssmonitor | 11.0 MiB |  |  |\n",
		"Measured on Linux 6.1, 2 processors.\nWithout rules a packet takes 2.60 µs. A dash means that it takes more than 20 s.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want the line\n%s\nin\n%s", want, got)
		}
	}
	if strings.Contains(got, "processor time per tick") {
		t.Errorf("want no measure without figures in\n%s", got)
	}
}

func TestFormats(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"nanoseconds", duration(350.4), "350 ns"},
		{"microseconds", duration(4812), "4.81 µs"},
		{"two digits before the point", duration(11_000), "11.0 µs"},
		{"rounded up to the next unit", duration(999.6), "1.00 µs"},
		{"seconds are the largest unit", duration(2.5e12), "2500 s"},
		{"a difference below zero", duration(-20), "-20.0 ns"},
		{"memory", size(62.8 * (1 << 20)), "62.8 MiB"},
		{"ratio", ratio(9.96), "10.0×"},
		{"large ratio", ratio(1233.4), "1,233×"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("got %s, want %s", test.got, test.want)
			}
		})
	}
}
