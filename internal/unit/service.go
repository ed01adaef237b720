package unit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/dbus"

	"ssmonitor/internal/terminal"
)

// failedPrefix begins the status of a process that ends with an error. Systemd keeps it
// until the next start.
const failedPrefix = "failed: "

// firstOfSystemd is the lowest status with which systemd says that it could not start a
// program: systemd.exec(5).
const firstOfSystemd = 200

// NoteFailure leaves with systemd why this process ends, if it is a unit.
func NoteFailure(err error) {
	NewNotifier().Status(failedPrefix + terminal.Line(err))
}

// Service is the state of a service, in systemd's words.
type Service struct {
	Loaded  string // loaded, not-found, masked or the like
	Enabled string // enabled, disabled or the like
	Active  string // active, activating, inactive, failed or the like
	Result  string // success, exit-code, signal, watchdog, oom-kill or the like, of the last run
	Status  int    // with which the last run ended; the signal's number if one ended it
	Reason  string // that the process gave when it ended, or empty
}

// ReadService asks systemd for the state of a service. It fails where systemd does not run,
// or has no bus for this user.
func ReadService(ctx context.Context, name string) (*Service, error) {
	connect := dbus.NewSystemConnectionContext
	if os.Geteuid() == 0 {
		connect = dbus.NewSystemdConnectionContext // there without D-Bus, too
	}
	conn, err := connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking systemd: %w", err)
	}
	defer conn.Close()
	properties, err := conn.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("asking systemd for %s: %w", name, err)
	}
	return newService(properties), nil
}

func newService(properties map[string]any) *Service {
	text := func(property string) string {
		value, _ := properties[property].(string)
		return value
	}
	status, _ := properties["ExecMainStatus"].(int32)
	reason, failed := strings.CutPrefix(text("StatusText"), failedPrefix)
	if !failed {
		reason = ""
	}
	return &Service{
		Loaded: text("LoadState"), Enabled: text("UnitFileState"), Active: text("ActiveState"),
		Result: text("Result"), Status: int(status), Reason: reason,
	}
}

// Failed reports whether the last run ended with an error, also while systemd is about to
// try again.
func (s *Service) Failed() bool {
	return s.Result != "" && s.Result != "success" && s.Active != "active"
}

// Retried reports whether systemd starts it again by itself.
func (s *Service) Retried() bool { return s.Active == "activating" }

// Outcome says how the last run ended.
func (s *Service) Outcome() string {
	switch {
	case s.Reason != "":
		return s.Reason
	case s.Result == "exit-code" && s.Status >= firstOfSystemd:
		return fmt.Sprintf("systemd could not start its program (status %d)", s.Status)
	case s.Result == "exit-code":
		return fmt.Sprintf("it ended with status %d", s.Status)
	case s.Result == "watchdog":
		return "it was stuck, and systemd's watchdog ended it"
	case s.Result == "oom-kill":
		return "the kernel killed it, since memory was short"
	case s.Result == "signal" || s.Result == "core-dump":
		return fmt.Sprintf("signal %d (%s) ended it", s.Status, syscall.Signal(s.Status))
	case s.Result == "timeout":
		return "it did not start or end in time"
	}
	return "systemd says " + s.Result
}
