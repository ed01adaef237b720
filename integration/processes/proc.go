package processes

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// maxCommandLine is what is read of a command line. The kernel allows more.
	maxCommandLine = 128 << 10
	// maxText is what is read of any other file of a process.
	maxText = 1 << 20
	// ticks are those of a second in /proc (USER_HZ), on every architecture.
	ticks = 100
)

var errMalformed = errors.New("not as the kernel writes it")

// process is one of /proc.
type process struct {
	pid, parent int
	start       uint64
	comm        string
}

func (h *Procfs) path(pid int, name string) string {
	return filepath.Join(h.Proc, strconv.Itoa(pid), name)
}

func (h *Procfs) read(pid, name string, limit int64) (string, error) {
	file, err := os.Open(filepath.Join(h.Proc, pid, name))
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, limit))
	return string(text), err
}

// comm returns the name that the kernel keeps of a process. It is read of every process,
// so that it has to be cheap.
func (h *Procfs) comm(pid string) string {
	fd, err := syscall.Open(filepath.Join(h.Proc, pid, "comm"), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer syscall.Close(fd) //nolint:errcheck // nothing was written
	var name [64]byte
	n, err := syscall.Read(fd, name[:])
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name[:n]), "\n")
}

// parents returns the parent of each process.
func (h *Procfs) parents() (map[int]int, error) {
	names, err := h.list()
	parents := make(map[int]int, len(names))
	for _, name := range names {
		if p, ok := h.stat(name); ok {
			parents[p.pid] = p.parent
		}
	}
	return parents, err
}

// stat reads /proc/PID/stat, unless the process has ended:
// https://docs.kernel.org/filesystems/proc.html.
func (h *Procfs) stat(pid string) (process, bool) {
	text, err := h.read(pid, "stat", maxText)
	if err != nil {
		return process{}, false
	}
	return parseStat(text)
}

// parseStat reads the fields pid, comm, state, ppid and, 18 fields on, starttime. comm may
// hold anything.
func parseStat(text string) (p process, alive bool) {
	begin, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return process{}, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 20 || strings.ContainsAny(fields[0], "ZXx") {
		return process{}, false
	}
	pid, pidErr := strconv.Atoi(strings.TrimSpace(text[:begin]))
	parent, parentErr := strconv.Atoi(fields[1])
	start, startErr := strconv.ParseUint(fields[19], 10, 64)
	return process{pid, parent, start, text[begin+1 : end]}, errors.Join(pidErr, parentErr, startErr) == nil
}

// arguments returns the command line of a process, nil if it has none.
func (h *Procfs) arguments(pid int) []string {
	text, err := h.read(strconv.Itoa(pid), "cmdline", maxCommandLine)
	if err != nil {
		return nil
	}
	return splitArguments(text)
}

// splitArguments splits a command line. An argument that may have been cut is left out.
func splitArguments(text string) []string {
	if len(text) == maxCommandLine {
		text = text[:strings.LastIndexByte(text, 0)+1]
	}
	if text = strings.TrimRight(text, "\x00"); text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

// namespace returns a number of the network namespace of a process. Each namespace has
// such a file of its own, whose attributes anybody may read: the namespace itself can be
// seen only by who may trace the process.
func (h *Procfs) namespace(pid string) (uint64, error) {
	var status syscall.Stat_t
	path := filepath.Join(h.Proc, pid, "net/dev")
	if err := syscall.Stat(path, &status); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return status.Ino, nil
}

// account is who started a process: not whose rights it has by the set-user-ID bit of a
// program, which anybody can start under the name of a server.
type account struct {
	id     uint32
	groups []uint32
}

func (h *Procfs) owner(pid int) (account, error) {
	text, err := h.read(strconv.Itoa(pid), "status", maxText)
	if err != nil {
		return account{}, err
	}
	return parseOwner(text)
}

// parseOwner reads, of the lines of /proc/PID/status, those with the real, the effective,
// the saved and the file system's IDs of the user and the group, and the other groups.
func parseOwner(text string) (account, error) {
	const realID = 0
	a, found := account{}, 0
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		var numbers []uint32
		for field := range strings.FieldsSeq(value) {
			if number, err := strconv.ParseUint(field, 10, 32); err == nil {
				numbers = append(numbers, uint32(number))
			}
		}
		switch {
		case key == "Uid" && len(numbers) > realID:
			a.id = numbers[realID]
			found++
		case key == "Gid" && len(numbers) > realID:
			a.groups = append(a.groups, numbers[realID])
			found++
		case key == "Groups":
			a.groups = append(a.groups, numbers...)
		}
	}
	if found != 2 {
		return account{}, fmt.Errorf("the status of a process: %w", errMalformed)
	}
	return a, nil
}

// Young reports whether a server was started so recently that it may not listen yet.
func (s ID) Young() bool {
	const settled = 10 * time.Second
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return false
	}
	age := time.Duration(info.Uptime)*time.Second - time.Duration(s.Start/ticks)*time.Second
	return age < settled
}
