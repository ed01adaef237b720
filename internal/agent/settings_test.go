package agent

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/api"
)

// TestSettingsAreAppliedWhenTheFileChanges changes limits, makes a mistake, and changes what
// a running agent can't.
func TestSettingsAreAppliedWhenTheFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	testkit.WriteFile(t, path, "warn: 1GB\n")
	var log bytes.Buffer
	a := newTestAgent(t, &log, nil)
	a.Inputs = settings.Inputs{Keys: settings.Keys(a.Lookup, "warn", "addresses", "interval"), File: path, Flags: map[string][]string{"addresses": {"3"}}}
	a = newAgent(a.settings, a.Options)
	open(t, a)
	alice := usage.ClientOf("alice", 20000)
	want := func(step string, warn uint64, logged string) {
		t.Helper()
		a.endInterval(t.Context())
		got, _ := a.warn().For(alice)
		if got != warn || !strings.Contains(log.String(), logged) {
			t.Errorf("%s: got the limit %d, want %d and %q in the log\n%s", step, got, warn, logged, &log)
		}
		log.Reset()
	}
	testkit.ReplaceFile(t, path, "warn: 2GB\naddresses: 9\n")
	want("changed", 2e9, "")
	if got, _ := a.addresses().For(alice); got != 3 {
		t.Errorf("got %d addresses, want those of the flag", got)
	}
	testkit.ReplaceFile(t, path, "warn: 30\ninterval: 1s\n")
	want("a mistake", 2e9, "line 1, column 7: key warn: want a number and a unit")
	testkit.ReplaceFile(t, path, "warn: 4GB\ninterval: 1s\n")
	want("one that waits", 4e9, "wait for a restart")
	a.applySettings()
	if log.Len() > 0 {
		t.Errorf("read again: the log has\n%s", &log)
	}
	got := a.publishedSettings()
	if warn := got.Keys["warn"]; got.File != path || warn.From != api.FromFile || warn.Values[0] != "4GB" {
		t.Errorf("got %+v", got)
	}
	if addresses := got.Keys["addresses"]; addresses.From != api.FromStart || addresses.Values[0] != "3" {
		t.Errorf("got %+v", got)
	}
}
