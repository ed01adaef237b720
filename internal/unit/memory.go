package unit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Parts of the memory limit of a unit that Go aims at. The kernel counts the counters
// that a process installs, and the message that installs them, as memory of its unit
// too, and both take more. Setup also needs room for large configurations.
const (
	HeapShareOfAgent = 0.21
	HeapShareOfSetup = 0.4
	// The kernel holds what is sent to clients of /metrics.
	HeapShareOfMetrics = 0.5
)

// LimitMemory makes the garbage collector respect the memory limit of the
// control group, such as MemoryMax= of the unit. GOMEMLIMIT has priority.
func LimitMemory(share float64) {
	_, _ = memlimit.Set(memlimit.WithRatio(share)) // without it, memory is as much as Go thinks best
}

// Memory of the agent's unit, as measured at 65,535 ports: 231 MB.
const (
	memoryOfAgent = 20 << 20
	memoryPerPort = 3600
)

// MemoryNote says that a list of ports is too large for the memory limit of the
// agent's unit, or returns nil. Without a running unit no limit is known. root is
// the directory below which /sys is.
func MemoryNote(root string, ports int) error {
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
