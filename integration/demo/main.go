// The demo shows ssmonitor at work on any Linux host, without leaving a trace. It
// starts itself again in a network namespace of its own, with an empty /run. There
// it sends traffic to three ports, and shows the real setup, the real agent, the
// live table and the usage. However it ends, the kernel removes the namespace and everything in
// it together with its last process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// inside is set in the environment of the copy that runs in the namespace.
const inside = "SSMONITOR_DEMO_INSIDE"

// The exit statuses, next to 0.
const (
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 128 + int(syscall.SIGINT) // as in shells
)

func main() { os.Exit(demo()) }

func demo() int {
	binary := flag.String("ssmonitor", "build/ssmonitor", "the `path` of the ssmonitor to show")
	duration := flag.Duration("duration", 8*time.Second, "how long to show the live table")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "demo shows ssmonitor at work in a network namespace of its own, as root.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || *duration <= 0 {
		flag.Usage()
		return statusUsage
	}

	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	if os.Getenv(inside) == "" {
		err = enter(interrupted, *binary)
	} else {
		err = show(interrupted, *binary, *duration)
	}
	var exit *exec.ExitError
	switch {
	case interrupted.Err() != nil:
		return statusInterrupted
	case errors.As(err, &exit) && os.Getenv(inside) == "":
		return max(exit.ExitCode(), statusFailed) // the copy has printed the reason
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return statusFailed
	}
	return 0
}

// enter runs a copy of this process in new namespaces.
func enter(interrupted context.Context, binary string) error {
	if os.Geteuid() != 0 {
		return errors.New("only root can create a network namespace: run sudo make demo")
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("finding the ssmonitor to show: %w: build it with make build, or name it with --ssmonitor PATH", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program to start again: %w", err)
	}
	// Pdeathsig refers to the thread that starts the copy.
	runtime.LockOSThread()
	again := childOf(interrupted, self, os.Args[1:]...)
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.Env = append(os.Environ(), inside+"=1")
	again.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	again.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // unlike in Cloneflags, Go also makes all mounts private
	return again.Run()
}

// childOf prepares a program that is asked to end when the context is done,
// and killed when this process is.
func childOf(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// mountMemory mounts an empty directory in memory, which only this process and its
// children see.
func mountMemory(path string) error {
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mounting an empty %s: %w", path, err)
	}
	return nil
}
