package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCleanMappings(t *testing.T) {
	const (
		program = "/usr/sbin/ssmonitor"
		clean   = "Rss: 4 kB\nAnonymous:             0 kB\nSwap:                  0 kB\nVmFlags: rd mr mw me\n"
		written = "Rss: 4 kB\nAnonymous:             4 kB\nSwap:                  0 kB\n"
		swapped = "Rss: 4 kB\nAnonymous:             0 kB\nSwap:                  4 kB\n"
	)
	tests := []struct {
		name, smaps string
		want        []mapping
	}{
		{"code", "00400000-00c32000 r-xp 00000000 fe:00 10010803                           " + program + "\n" + clean, []mapping{{0x400000, 0xc32000}}},
		{"constants", "00c32000-01593000 r--p 00832000 fe:00 10010803 " + program + "\n" + clean, []mapping{{0xc32000, 0x1593000}}},
		{"variables", "01593000-01618000 rw-p 01193000 fe:00 10010803 " + program + "\n" + clean, nil},
		{"relocated constants", "00c32000-01593000 r--p 00832000 fe:00 10010803 " + program + "\n" + written, nil},
		{"relocated constants in swap", "00c32000-01593000 r--p 00832000 fe:00 10010803 " + program + "\n" + swapped, nil},
		{"code and relocated constants", "00400000-00c32000 r-xp 00000000 fe:00 7 " + program + "\n" + clean +
			"00c32000-01593000 r--p 00832000 fe:00 7 " + program + "\n" + written +
			"c000000000-c000400000 rw-p 00000000 00:00 0\n" + written, []mapping{{0x400000, 0xc32000}}},
		{"another file", "7f0000000000-7f0000001000 r--p 00000000 fe:00 7 /usr/lib/locale/locale-archive\n" + clean, nil},
		{"no file", "c000000000-c000400000 r--p 00000000 00:00 0\n" + clean, nil},
		{"nothing", "", nil},
		{"no addresses", "begin-end r--p 00000000 fe:00 7 " + program + "\n" + clean, nil},
		{"an empty mapping", "00400000-00400000 r--p 00000000 fe:00 7 " + program + "\n" + clean, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := cleanMappings(strings.NewReader(test.smaps), program); !slices.Equal(got, test.want) {
				t.Errorf("got %x, want %x", got, test.want)
			}
		})
	}
}

// TestReleaseMemory runs on after it has given back its own code.
func TestReleaseMemory(*testing.T) {
	releaseMemory()
	limitMemory(heapShareOfAgent)
}

func TestMemoryNote(t *testing.T) {
	root := t.TempDir()
	if err := memoryNote(root, 65535); err != nil {
		t.Errorf("without a unit: got %v, want no note", err)
	}
	unit := filepath.Join(root, "sys/fs/cgroup/system.slice/ssmonitor.service")
	if err := os.MkdirAll(unit, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		limit string
		ports int
		want  string // in the note; empty: there is none
	}{
		{"max\n", 65535, ""},
		{"335544320\n", 65535, ""},
		{"134217728\n", 30000, ""},
		{"134217728\n", 40000, "40000 ports may need 164 MB, and ssmonitor.service may have 134 MB"},
		{"\n", 65535, ""},
	} {
		if err := os.WriteFile(filepath.Join(unit, "memory.max"), []byte(test.limit), 0o644); err != nil {
			t.Fatal(err)
		}
		err := memoryNote(root, test.ports)
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d ports with a limit of %q: got %v, want %q", test.ports, test.limit, err, test.want)
		}
	}
}
