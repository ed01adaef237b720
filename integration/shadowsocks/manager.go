package shadowsocks

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"ssmonitor/internal/configfile"
)

// The files that ss-manager writes for each of its ports, in its working
// directory. It removes neither when it removes the port.
const (
	managedPrefix = ".shadowsocks_"
	managedConfig = ".conf"
	managedPID    = ".pid"
)

// Managed reports whether the file is the configuration of a port of ss-manager.
func Managed(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, managedPrefix) && strings.HasSuffix(name, managedConfig)
}

// pidFile returns the path of the file with the process that serves the port.
func pidFile(path string) string { return strings.TrimSuffix(path, managedConfig) + managedPID }

// Stopped reports whether the file at path is the configuration of a port of
// ss-manager whose server is not running any more. Without a file that names the
// server, it has not started yet.
func Stopped(path string) bool {
	const maxPIDSize = 64
	if !Managed(path) {
		return false
	}
	content, err := configfile.Read(pidFile(path), maxPIDSize)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(content)))
	if err != nil || pid <= 0 {
		return false
	}
	return ended(pid)
}

// ended reports whether a process has ended, even if its parent has not noticed yet.
func ended(pid int) bool {
	const maxStatSize = 4096
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := configfile.Read(fmt.Sprintf("/proc/%d/stat", pid), maxStatSize)
	if err != nil {
		return false // it may be hidden
	}
	state := bytes.TrimSpace(stat[bytes.LastIndexByte(stat, ')')+1:]) // of proc(5), behind the name
	return len(state) > 0 && strings.IndexByte("ZXx", state[0]) >= 0
}
