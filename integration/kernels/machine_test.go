package kernels_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a virtual machine that lives as long as its /init.
type machine struct {
	kernel      string // directory with the unpacked package
	initramfs   []byte
	environment []string // NAME=VALUE, for /init
}

// result is what a virtual machine has written.
type result struct {
	tests   string // what /init wrote to the second serial port
	console string // what the kernel said
	err     error  // how QEMU ended; nil also after a panic of the kernel
}

// run boots the machine and waits until it is off, or kills it when the context
// is done.
func (m machine) run(ctx context.Context, t *testing.T) result {
	t.Helper()
	directory := t.TempDir()
	initramfs := filepath.Join(directory, "initramfs")
	tests, console := filepath.Join(directory, "tests"), filepath.Join(directory, "console")
	if err := os.WriteFile(initramfs, m.initramfs, 0o600); err != nil {
		t.Fatal(err)
	}
	// A panic or an oops ends the machine. Mitigations make emulation slower.
	commandLine := append([]string{"console=ttyS0", "quiet", "panic=-1", "oops=panic", "mitigations=off"}, m.environment...)
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg", "-M", "q35", "-cpu", "max", "-m", "384",
		"-display", "none", "-nodefaults", "-no-reboot",
		"-serial", "file:"+console, "-serial", "file:"+tests,
		"-kernel", only(t, m.kernel, "boot/vmlinuz-*"), "-initrd", initramfs,
		"-append", strings.Join(commandLine, " "))
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	qemu.WaitDelay = 5 * time.Second
	complaints, err := qemu.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("QEMU: %w\n%s", err, complaints)
	}
	return result{tests: written(t, tests), console: written(t, console), err: err}
}

// written returns the lines of a serial port's file, which is missing where
// QEMU did not start.
func written(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(content), "\r\n", "\n")
}
