package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// heapShare is the part of the memory limit of the agent's unit that Go may use.
// The kernel counts the counters that the agent installs, and the message that
// installs them, as memory of the unit too, and both take more.
const heapShare = 0.22

// limitMemory makes the garbage collector respect the memory limit of the
// control group, such as MemoryMax= of the unit. GOMEMLIMIT has priority.
func limitMemory() {
	_, _ = memlimit.Set(memlimit.WithRatio(heapShare)) // without it, memory is as much as Go thinks best
}

// releaseMemory gives back the memory that only the start needed: Go's heap, and
// the pages of the program's file, which the kernel maps again when they are used.
func releaseMemory() {
	debug.FreeOSMemory()
	program, err := os.Executable()
	if err != nil {
		return
	}
	mappings, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer func() { _ = mappings.Close() }()
	lines := bufio.NewScanner(mappings)
	for lines.Scan() {
		if begin, end, ok := readOnlyMapping(lines.Text(), program); ok {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, begin, end-begin, syscall.MADV_DONTNEED)
		}
	}
}

// readOnlyMapping returns the addresses of a mapping of the file that can't have
// been written to. line is as proc_pid_maps(5) has it:
//
//	00400000-00c32000 r-xp 00000000 fe:00 10010803    /usr/sbin/ssmonitor
func readOnlyMapping(line, file string) (begin, end uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[5] != file || fields[1][1] == 'w' {
		return 0, 0, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	first, err := strconv.ParseUint(from, 16, strconv.IntSize)
	if err != nil {
		return 0, 0, false
	}
	last, err := strconv.ParseUint(to, 16, strconv.IntSize)
	return uintptr(first), uintptr(last), err == nil && first < last
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
