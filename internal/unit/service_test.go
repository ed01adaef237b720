package unit

import "testing"

// TestService has the properties that systemd answers with.
func TestService(t *testing.T) {
	for _, test := range []struct {
		name            string
		properties      map[string]any
		failed, retried bool
		outcome         string
	}{
		{"running", map[string]any{"ActiveState": "active", "Result": "success", "StatusText": "counting 2 ports"}, false, false, ""},
		{"stopped", map[string]any{"ActiveState": "inactive", "Result": "success"}, false, false, ""},
		{"unknown", nil, false, false, ""},
		{"running again", map[string]any{"ActiveState": "active", "Result": "watchdog"}, false, false, ""},
		{"with its error", map[string]any{"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": int32(2), "StatusText": "failed: interval: want a unit"}, true, false, "interval: want a unit"},
		{"with an old status", map[string]any{"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": int32(203), "StatusText": "counting 2 ports"}, true, false, "systemd could not start its program (status 203)"},
		{"without a word", map[string]any{"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": int32(3)}, true, false, "it ended with status 3"},
		{"before another attempt", map[string]any{"ActiveState": "activating", "Result": "signal", "ExecMainStatus": int32(9)}, true, true, "signal 9 (killed) ended it"},
		{"stuck", map[string]any{"ActiveState": "failed", "Result": "watchdog", "ExecMainStatus": int32(6)}, true, false, "it was stuck, and systemd's watchdog ended it"},
		{"out of memory", map[string]any{"ActiveState": "failed", "Result": "oom-kill", "ExecMainStatus": int32(9)}, true, false, "the kernel killed it, since memory was short"},
		{"slow", map[string]any{"ActiveState": "failed", "Result": "timeout"}, true, false, "it did not start or end in time"},
		{"any other", map[string]any{"ActiveState": "failed", "Result": "resources"}, true, false, "systemd says resources"},
	} {
		s := newService(test.properties)
		if s.Failed() != test.failed || s.Retried() != test.retried || test.failed && s.Outcome() != test.outcome {
			t.Errorf("%s: got %t, %t, %q", test.name, s.Failed(), s.Retried(), s.Outcome())
		}
	}
}
