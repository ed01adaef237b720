package unit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ssmonitor/internal/failure"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
)

// Started reports whether systemd started the program as a service that notifies
// it, as ssmonitor.service does.
func Started(lookup func(string) string) bool { return lookup("NOTIFY_SOCKET") != "" }

// WriteError adds what to do to an error from a file that the agent can't write at path.
// What the unit forbids is a wrong configuration: another attempt would fail alike.
func WriteError(err error, path string, lookup func(string) string) error {
	if !errors.Is(err, syscall.EROFS) || !Started(lookup) {
		return err
	}
	return failure.Wrong(fmt.Errorf("%w: the unit lets the agent write to %s and its state directory only; use a path there, "+
		"or allow another one in a drop-in (systemctl edit ssmonitor): ReadWritePaths=%s",
		err, settings.RuntimeDirectory(lookup), filepath.Dir(path)))
}

// HiddenError adds what to do to an error from reading a file that ssmonitor-setup.service
// hides.
func HiddenError(err error, lookup func(string) string) error {
	var failed *fs.PathError
	if !Started(lookup) || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &failed) {
		return err
	}
	for _, hidden := range []string{"/run/", "/tmp/", "/var/tmp/"} {
		if strings.HasPrefix(filepath.Clean(failed.Path), hidden) {
			return fmt.Errorf("%w: the unit hides /run, and has a /tmp of its own; use a path elsewhere, "+
				"or show this one in a drop-in (systemctl edit ssmonitor-setup): BindReadOnlyPaths=%s", err, filepath.Dir(failed.Path))
		}
	}
	return err
}

// RightsRemedy returns what to do about a missing right of the user.
func RightsRemedy(lookup func(string) string, user int) string {
	switch {
	case Started(lookup):
		return "give the right to the unit's user, or change the unit (systemctl edit ssmonitor; for /home: ProtectHome=)"
	case user == 0:
		return finding.OfRoot
	}
	return "run it as root"
}

// NoteCSV logs why nobody will see the CSV file, if that is known in advance. It
// is no reason not to count.
func NoteCSV(log *slog.Logger, path string, lookup func(string) string) {
	err := syscall.Access(filepath.Dir(path), 2) // W_OK of unistd.h
	if err != nil {
		err = WriteError(&fs.PathError{Op: "writing", Path: path, Err: err}, path, lookup)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // none without /proc
	switch {
	case errors.As(err, new(*failure.WrongError)):
		log.Error("the CSV file can't be written", "error", err)
	case inPrivateTmp(path, string(mounts)):
		log.Warn("no other program sees the CSV file: the unit has a private /tmp (PrivateTmp=)", "csv", path,
			"remedy", "use a path in "+settings.RuntimeDirectory(lookup))
	}
}

// NoteState logs what to do if the unit lets the agent write no totals. Counting
// goes on, and saving is tried again.
func NoteState(log *slog.Logger, directory string, lookup func(string) string) {
	err := syscall.Access(directory, 2) // W_OK of unistd.h
	if errors.Is(err, fs.ErrNotExist) {
		err = syscall.Access(filepath.Dir(directory), 2)
	}
	err = WriteError(&fs.PathError{Op: "writing", Path: directory, Err: err}, directory+"/", lookup)
	if errors.As(err, new(*failure.WrongError)) {
		log.Error("the totals can't be saved", "error", err)
	}
}

// inPrivateTmp reports whether path is in a directory that systemd made for
// PrivateTmp=, according to the contents of /proc/self/mountinfo: proc(5).
func inPrivateTmp(path, mounts string) bool {
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 5 { // the fourth is the root of the mount, the fifth where it is
			continue
		}
		if strings.Contains(fields[3], "/systemd-private-") && strings.HasPrefix(filepath.Clean(path), fields[4]+"/") {
			return true
		}
	}
	return false
}
