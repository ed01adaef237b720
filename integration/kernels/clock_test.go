package kernels_test

import (
	"context"
	_ "embed"
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
	build(t, binary, "build", "ssmonitor/cmd/ssmonitor")
	m := machine{kernel: fetchKernel(ctx, t, "6.1")}
	m.initramfs = newInitramfs(ctx, t, clockScript, m.kernel, binary).finish()
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
