package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Parts of the memory limit of a unit that Go aims at. The kernel counts the counters
// that a process installs, and the message that installs them, as memory of its unit
// too, and both take more. Setup also needs room for large configurations.
const (
	heapShareOfAgent = 0.21
	heapShareOfSetup = 0.4
)

// limitMemory makes the garbage collector respect the memory limit of the
// control group, such as MemoryMax= of the unit. GOMEMLIMIT has priority.
func limitMemory(share float64) {
	_, _ = memlimit.Set(memlimit.WithRatio(share)) // without it, memory is as much as Go thinks best
}

// releaseMemory gives back the memory that only the start needed: Go's heap, and
// the program's pages.
func releaseMemory() {
	debug.FreeOSMemory()
	releaseProgram()
}

// releaseProgram gives back the pages of the program's file, after something that
// is seldom done. The kernel maps those again that are used.
func releaseProgram() {
	program, err := os.Executable()
	if err != nil {
		return
	}
	mappings, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = mappings.Close() }()
	for _, clean := range cleanMappings(mappings, program) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, clean.begin, clean.end-clean.begin, syscall.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ begin, end uintptr }

// cleanMappings returns the mappings of the file that can't be written to and
// never were. The dynamic linker writes to some of a position-independent program,
// and makes them read-only afterwards. smaps is as proc_pid_smaps(5) has it:
//
//	00400000-00c32000 r-xp 00000000 fe:00 10010803    /usr/sbin/ssmonitor
//	Anonymous:             0 kB
//	Swap:                  0 kB
func cleanMappings(smaps io.Reader, file string) (clean []mapping) {
	lines := bufio.NewScanner(smaps)
	current := false // whether the last mapping may still be clean
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			var found mapping
			if found, current = readOnlyMapping(fields, file); current {
				clean = append(clean, found)
			}
		case current && len(fields) >= 2 && (fields[0] == "Anonymous:" || fields[0] == "Swap:") && fields[1] != "0":
			clean, current = clean[:len(clean)-1], false
		}
	}
	return clean
}

// readOnlyMapping returns the mapping of a line's fields if it is one of the file
// and can't be written to.
func readOnlyMapping(fields []string, file string) (found mapping, ok bool) {
	if len(fields) < 6 || fields[5] != file || strings.Contains(fields[1], "w") {
		return mapping{}, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	begin, beginErr := strconv.ParseUint(from, 16, strconv.IntSize)
	end, endErr := strconv.ParseUint(to, 16, strconv.IntSize)
	return mapping{uintptr(begin), uintptr(end)}, beginErr == nil && endErr == nil && begin < end
}

// Memory of the agent's unit, as measured at 65,535 ports: 231 MB.
const (
	memoryOfAgent = 20 << 20
	memoryPerPort = 3600
)

// memoryNote says that a list of ports is too large for the memory limit of the
// agent's unit, or returns nil. Without a running unit no limit is known. root is
// the directory below which /sys is.
func memoryNote(root string, ports int) error {
	content, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup/system.slice/ssmonitor.service/memory.max"))
	if err != nil {
		return nil
	}
	limit, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
	need := uint64(memoryOfAgent + memoryPerPort*ports)
	if err != nil || need <= limit { // the file says "max" where there is no limit
		return nil
	}
	return fmt.Errorf("%d ports may need %d MB, and ssmonitor.service may have %d MB: "+
		"raise MemoryMax= with `systemctl edit ssmonitor.service`, or the agent may be killed", ports, need/1e6, limit/1e6)
}
