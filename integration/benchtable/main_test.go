package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

// output returns what the benchmarks print, with the same figures for each.
func output() string {
	var text strings.Builder
	text.WriteString("goos: linux\nBenchmarkPacket\n")
	for _, r := range rows {
		name := "Benchmark" + r.benchmark + "/" + r.ports
		fmt.Fprintf(&text, "%s\n%s-2 \t 25\t 46400000 ns/op\t 999.6 other-ns/op\t 1.031 ratio\n", name, name)
	}
	text.WriteString("BenchmarkTick/reading_alone/3 \t 25\t 11000 ns/op\t 0 allocations\t 10000 other-ns/op\t 1.1 ratio\nPASS\n")
	return text.String()
}

func TestTable(t *testing.T) {
	var table, progress strings.Builder
	if err := run(strings.NewReader(output()), &table, &progress); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if want := len(rows) + 3; len(lines) != want {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), want, &table)
	}
	const want = "| reading all counters | 10,000 | 46.4 ms | the bare kernel dump | 1.00 µs | 1.03 |"
	if got := lines[2+8]; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if progress.String() != output() {
		t.Errorf("got the progress\n%s\nwant the input", &progress)
	}
}

// TestTableIsTheOneInTheREADME compares everything but the measured figures.
func TestTableIsTheOneInTheREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), header)
	if !found {
		t.Fatal("the README has no table with the header of benchtable")
	}
	want, _, _ := strings.Cut(text, "\n\n")
	var table strings.Builder
	if err := run(strings.NewReader(output()), &table, io.Discard); err != nil {
		t.Fatal(err)
	}
	figure := regexp.MustCompile(`(?m)[\d.]+ [nµm]?s \||\d+\.\d+ \|$`)
	without := func(text string) string { return figure.ReplaceAllString(text, "N |") }
	if got := strings.TrimSpace(strings.TrimPrefix(table.String(), header)); without(got) != without(want) {
		t.Errorf("got\n%s\nwant\n%s", without(got), without(want))
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		name        string
		nanoseconds float64
		want        string
	}{
		{"nanoseconds", 350.4, "350 ns"},
		{"microseconds", 4812, "4.81 µs"},
		{"two digits before the point", 11_000, "11.0 µs"},
		{"milliseconds", 2_096_000, "2.10 ms"},
		{"rounded up to the next unit", 999.6, "1.00 µs"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := duration(test.nanoseconds); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestFailureIsPassedOn(t *testing.T) {
	tests := []struct{ name, output string }{
		{"a benchmark failed", output() + "--- FAIL: BenchmarkPacket/iptables-legacy/3\nFAIL\n"},
		{"nothing was built", "FAIL	ssmonitor/nft [build failed]\n"},
		{"nothing was measured", "PASS\n"},
		{"a row is missing", strings.ReplaceAll(output(), "BenchmarkInstalling/nft_-f/1000-2", "BenchmarkOther/x/1")},
		{"a figure is not a number", strings.Replace(output(), "46400000", "many", 1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var table strings.Builder
			if err := run(strings.NewReader(test.output), &table, io.Discard); err == nil || table.Len() > 0 {
				t.Errorf("got error %v and the table %q, want an error and no table", err, &table)
			}
		})
	}
}
