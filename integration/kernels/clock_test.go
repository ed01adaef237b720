package kernels_test

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

//go:embed clock.sh
var clockScript []byte

// TestUsageFollowsTheClock sets the clock of a virtual machine in which an agent
// runs. All usage is of the month that the clock shows in the end.
func TestUsageFollowsTheClock(t *testing.T) {
	if testing.Short() {
		t.Skip("emulation takes about a minute")
	}
	testkit.Require(t, "qemu-system-x86_64", "busybox", "ldd", "apt-cache", "apt-get", "dpkg")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	binary := filepath.Join(t.TempDir(), "ssmonitor")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", binary, "ssmonitor/cmd/ssmonitor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, build)

	m := machine{kernel: fetchKernel(ctx, t, "6.1")}
	archive := &initramfs{names: make(map[string]bool)}
	archive.add("init", executable, clockScript)
	for _, name := range []string{"proc", "sys", "dev", "tmp", "etc"} {
		archive.add(name, folder, nil)
	}
	archive.addProgram(ctx, t, "busybox")
	archive.addFile(t, "bin/ssmonitor", binary)
	for _, name := range moduleFiles(t, m.kernel) {
		archive.addFile(t, name, filepath.Join(m.kernel, name))
	}
	m.initramfs = archive.finish()
	result := m.run(ctx, t)
	report, log, _ := strings.Cut(result.tests, "\n\n")
	lines := strings.Split(strings.TrimSpace(report), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[1], "client,2026-11-01") || !strings.Contains(lines[1], ",900,") { // 15 connections
		t.Errorf("%v\ngot the report:\n%s\nthe log:\n%s\nthe console:\n%s", result.err, report, log, lastLines(result.console, 20))
	}
	if moved := strings.Count(log, "the clock was set"); moved != 3 {
		t.Errorf("got %d lines about the clock, want 3:\n%s", moved, log)
	}
}
