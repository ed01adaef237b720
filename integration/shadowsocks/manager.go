package shadowsocks

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"

	"ssmonitor/integration/processes"
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
	return processes.Ended(pid)
}
