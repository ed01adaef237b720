package checkup

import (
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/output/api"
)

// load sets what the check has from a settings file.
func (c *checker) load(t *testing.T, content string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	testkit.WriteFile(t, path, content)
	own := *c.Settings
	c.Settings, c.SettingsErr = settings.Inputs{Keys: settings.All(), File: path}.Load()
	c.Settings.List = own.List
}

// settingsFindings returns the messages of the findings about settings.
func settingsFindings(found []finding.Finding) (messages []string) {
	for _, f := range found {
		if strings.HasPrefix(string(f.ID), "settings") {
			messages = append(messages, string(f.ID)+": "+f.Message)
		}
	}
	return messages
}

func TestEverySettingIsChecked(t *testing.T) {
	unit := "/usr/lib/systemd/system/ssmonitor.service"
	for _, test := range []struct {
		name, file string
		files      map[string]string
		want       []string // ends of the findings
	}{
		{"nothing wrong", "warn: 100GB\ncsv: /run/ssmonitor/x.csv\n", map[string]string{unit: ""}, nil},
		{"two mistakes", "month-day: 31\ninterval: 5\n", nil, []string{"found 31", "found 5"}},
		{"a former name", "ports: /etc/ssmonitor/ports\n", nil, []string{"line 1: the key ports is now called list"}},
		{"paths without a unit", "csv: /srv/x.csv\n", nil, nil},
		{"paths of a unit", "csv: /srv/x.csv\nstate: /srv/state\ntextfile: /run/ssmonitor/x.prom\nsocket: /run/other.sock\n", map[string]string{unit: ""},
			[]string{"not to /srv", "not to /run", "not to /srv/state"}},
		{"paths that a drop-in allows", "csv: /srv/x.csv\n", map[string]string{unit: "", "/etc/systemd/system/ssmonitor.service.d/override.conf": "[Service]\nReadWritePaths=/srv\n"}, nil},
		{"clients", "warn: {alicia: 1GB, port 2: 1GB}\naddresses: {'2': 3, bob: 4}\n", nil,
			[]string{"key warn: no client is called alicia (did you mean alice?)", "key addresses: no client is called bob"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newCheck(t)
			c.Settings.List = list(t, "1=alice\n2\n")
			c.load(t, test.file)
			for path, content := range test.files {
				testkit.WriteFile(t, c.Machine.path(path), content)
			}
			got := settingsFindings(c.findings())
			if len(got) != len(test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
			for i, want := range test.want {
				if !strings.HasSuffix(got[i], want) {
					t.Errorf("got %s, want %s", got[i], want)
				}
			}
		})
	}
}

func TestSettingsInForce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	testkit.WriteFile(t, path, "interval: 1000ms\nsave-interval: 1m\nwarn: 100GB\nzone: UTC\n")
	mistaken := filepath.Join(t.TempDir(), "config.yaml")
	testkit.WriteFile(t, mistaken, "interval: 1s\nport: eighty\n")
	for _, test := range []struct {
		name string
		file string
		keys map[string]api.Setting
		want string
	}{
		{"the same in other words", path, map[string]api.Setting{"interval": {From: api.FromFile, Values: []string{"1s"}}, "warn": {From: api.FromFile, Values: []string{"0.1TB"}}}, ""},
		{"changed", path, map[string]api.Setting{"interval": {From: api.FromFile, Values: []string{"2s"}}, "zone": {From: api.FromFile, Values: []string{"Asia/Tehran"}}}, "but not in force: interval, zone"},
		{"added", path, map[string]api.Setting{"save-interval": {Values: []string{"10s"}}}, "but not in force: save-interval"},
		{"removed", path, map[string]api.Setting{"month-day": {From: api.FromFile, Values: []string{"5"}}}, "but not in force: month-day"},
		{"of a flag", path, map[string]api.Setting{"interval": {From: api.FromStart, Values: []string{"5s"}}}, "but the agent was started with other values, which precede: interval"},
		{"the same of a flag", path, map[string]api.Setting{"interval": {From: api.FromStart, Values: []string{"1s"}}}, ""},
		{"of a flag alone", path, map[string]api.Setting{"month-day": {From: api.FromStart, Values: []string{"5"}}}, ""},
		{"other defaults", path, map[string]api.Setting{"csv": {Values: []string{"/run/other/ssmonitor.csv"}}}, ""},
		{"a mistake in a key that it does not have", mistaken, map[string]api.Setting{"interval": {From: api.FromFile, Values: []string{"2s"}}}, "but not in force: interval"},
		{"a mistake in a key that it has", mistaken, map[string]api.Setting{"interval": {From: api.FromFile, Values: []string{"2s"}}, "port": {}}, ""},
		{"a key of a later version", path, map[string]api.Setting{"later": {Values: []string{"x"}}}, ""},
		{"no file", "", map[string]api.Setting{"interval": {Values: []string{"5s"}}}, ""},
	} {
		c, _ := newCheck(t)
		c.agent.Settings = &api.Settings{File: test.file, Keys: test.keys}
		got := strings.Join(settingsFindings(c.findings()), "\n")
		want := ""
		if test.want != "" {
			want = "settings-in-force: set in " + test.file + ", " + test.want
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", test.name, got, want)
		}
	}
}
