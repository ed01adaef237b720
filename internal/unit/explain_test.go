package unit

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/failure"
)

// TestHiddenFileHasARemedy has files that are missing, in the unit and outside.
func TestHiddenFileHasARemedy(t *testing.T) {
	inside := func(string) string { return "/run/systemd/notify" }
	for _, test := range []struct {
		err    error
		lookup func(string) string
		want   bool
	}{
		{&fs.PathError{Op: "open", Path: "/run/panel/a.json", Err: fs.ErrNotExist}, inside, true},
		{&fs.PathError{Op: "open", Path: "/tmp/a.json", Err: fs.ErrNotExist}, inside, true},
		{&fs.PathError{Op: "open", Path: "/srv/a.json", Err: fs.ErrNotExist}, inside, false},
		{&fs.PathError{Op: "open", Path: "/run/a.json", Err: fs.ErrPermission}, inside, false},
		{&fs.PathError{Op: "open", Path: "/run/a.json", Err: fs.ErrNotExist}, func(string) string { return "" }, false},
		{errors.New("no port"), inside, false},
	} {
		got := HiddenError(test.err, test.lookup)
		if remedy := strings.Contains(got.Error(), "BindReadOnlyPaths="); remedy != test.want || !errors.Is(got, test.err) {
			t.Errorf("%v: got %v", test.err, got)
		}
	}
}

func TestUnitErrors(t *testing.T) {
	environment := func(unit bool) func(string) string {
		return func(name string) string {
			if unit {
				return map[string]string{"NOTIFY_SOCKET": "/run/systemd/notify", "RUNTIME_DIRECTORY": "/run/other"}[name]
			}
			return ""
		}
	}
	refused := func(err error) error { return fmt.Errorf("listening: %w", err) }
	write := func(err error, lookup func(string) string) error { return WriteError(err, "/srv/a/b", lookup) }
	for _, test := range []struct {
		name   string
		change func(error, func(string) string) error
		err    error
		unit   bool
		want   string // in the remedy and a line feed; empty: the error is unchanged
	}{
		{"read-only in the unit", write, syscall.EROFS, true, "ReadWritePaths=/srv/a\n"},
		{"read-only in the unit, where it may write", write, syscall.EROFS, true, "write to /run/other and"},
		{"read-only", write, syscall.EROFS, false, ""},
		{"full", write, syscall.ENOSPC, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := refused(test.err)
			got := test.change(err, environment(test.unit))
			if !errors.Is(got, test.err) {
				t.Errorf("%v is not %v", got, test.err)
			}
			if test.want == "" && got.Error() != err.Error() || test.want != "" && (!strings.Contains(got.Error()+"\n", test.want) || !errors.As(got, new(*failure.WrongError))) {
				t.Errorf("got %v, want %q", got, test.want)
			}
		})
	}
	if got := RightsRemedy(environment(false), 1000); got != "run it as root" {
		t.Errorf("by hand: %q", got)
	}
	if got := RightsRemedy(environment(true), 1000); strings.Contains(got, "root") {
		t.Errorf("in the unit: %q", got)
	}
}

func TestInPrivateTmp(t *testing.T) {
	const mounts = "22 1 0:20 / / rw - overlay overlay rw\n" +
		"900 899 0:45 /systemd-private-5d-ssmonitor.service-x/tmp /tmp rw,nosuid shared:1 - tmpfs tmpfs rw\n" +
		"901 899 0:20 /var/tmp/systemd-private-5d-ssmonitor.service-y/tmp /var/tmp rw - overlay overlay rw\n" +
		"902 899 0:46 / /tmp/mounted rw - tmpfs tmpfs rw\nshort line\n"
	for path, want := range map[string]bool{
		"/tmp/x": true, "/var/tmp/x": true, "/var/tmp/../tmp/x": true, "/tmpx/y": false, "/run/ssmonitor/x": false, "/srv/tmp/x": false, "/tmp": false,
	} {
		if got := inPrivateTmp(path, mounts); got != want {
			t.Errorf("%s: got %t", path, got)
		}
	}
	if inPrivateTmp("/tmp/x", "22 1 0:20 / /tmp rw - tmpfs tmpfs rw\n") {
		t.Error("a /tmp of the host counts as private")
	}
}
