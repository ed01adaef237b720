package main

import (
	"io"
	"strings"
	"testing"
)

const result = "BenchmarkReading/bare_loop/10000-2 \t 25\t 46400000 ns/op\t 0 allocations\t 45100000 other-ns/op\t 1.031 ratio\n"

func TestTable(t *testing.T) {
	const output = `goos: linux
BenchmarkPacket
BenchmarkPacket/iptables-legacy/3
BenchmarkPacket/iptables-legacy/3  	 25	 376.8 ns/op	 999.6 other-ns/op	 0.377 ratio
BenchmarkReading/bare_loop/10000
` + result + "PASS\n"
	const want = `| | ports | ssmonitor | allocations | against | | ratio |
|---|--:|--:|--:|---|--:|--:|
| packet | 3 | 377 ns |  | iptables-legacy | 1 µs | 0.38 |
| reading | 10,000 | 46.4 ms | 0 | bare loop | 45.1 ms | 1.03 |
`
	var table, progress strings.Builder
	if err := run(strings.NewReader(output), &table, &progress); err != nil {
		t.Fatal(err)
	}
	if table.String() != want {
		t.Errorf("got\n%s\nwant\n%s", table.String(), want)
	}
	if progress.String() != output {
		t.Errorf("shown was\n%s", progress.String())
	}
}

func TestFailureIsPassedOn(t *testing.T) {
	for name, output := range map[string]string{
		"a benchmark failed":   result + "--- FAIL: BenchmarkPacket/iptables-legacy/3\nFAIL\n",
		"nothing was built":    "FAIL	ssmonitor/nft [build failed]\n",
		"nothing was measured": "PASS\n",
		"a figure is none":     strings.Replace(result, "46400000", "many", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(strings.NewReader(output), io.Discard, io.Discard); err == nil {
				t.Error("no error")
			}
		})
	}
}
