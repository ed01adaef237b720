package checkup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/spelling"
	"ssmonitor/internal/terminal"
	"ssmonitor/output/api"
)

// checkSettings reports every mistake in the settings file, and what in it is to be
// written in another way or can't work.
func (c *checker) checkSettings() {
	const remedy = "correct the settings: until then the agent does not start, and this check uses defaults in place of what is wrong"
	const ofSetup = "correct the settings: until then no setup runs and new ports are not found; the service counts those of the list"
	if file, ok := errors.AsType[*settings.FileError](c.SettingsErr); ok {
		for _, mistake := range file.Mistakes {
			f := finding.Finding{ID: finding.Settings, Level: finding.Wrong, Subject: file.Path, Message: terminal.Line(file.Wrap(mistake)), Remedy: remedy}
			if slices.Contains(settings.IgnoredByService, mistake.Key) {
				f.Remedy = ofSetup
			}
			c.add(f)
		}
	} else if c.SettingsErr != nil {
		c.add(c.Machine.failure(finding.Settings, "", c.SettingsErr, remedy))
	}
	for _, note := range c.Settings.Notes {
		c.add(finding.Finding{ID: finding.Settings, Level: finding.Note, Message: note})
	}
	for _, key := range []struct{ name, path string }{
		{"csv", c.Settings.CSV}, {"socket", c.Settings.Socket}, {"textfile", c.Settings.Textfile}, {"state", c.Settings.StateDirectory + "/."},
	} {
		if c.Settings.Origin(key.name).From == settings.FromFile && c.Machine.unitForbids(key.path) {
			c.add(finding.Finding{ID: finding.SettingsUnit, Level: finding.Wrong, Subject: filepath.Clean(key.path),
				Message: fmt.Sprintf("key %s: ssmonitor.service lets the agent write to %s and %s only, not to %s",
					key.name, settings.DefaultRuntime, settings.DefaultState, filepath.Dir(key.path)),
				Remedy: "use a path there\nor allow another one: systemctl edit ssmonitor, with ReadWritePaths=" + filepath.Dir(key.path) + " below [Service]"})
		}
	}
}

// checkInForce compares the settings file with what the agent runs with.
func (c *checker) checkInForce() {
	running := c.agent.Settings
	if running == nil || running.File == "" {
		return
	}
	in := settings.Inputs{Keys: settings.All(), File: running.File}
	if running.File == settings.DefaultFile {
		in.File = "" // need not exist
	}
	for _, key := range in.Keys {
		if _, known := running.Keys[key.Name]; !known {
			in.IgnoredInFile = append(in.IgnoredInFile, key.Name)
		}
	}
	file, err := in.Load()
	if err != nil {
		return // checkSettings reports it, if it is the file of this check, and the agent does
	}
	var differ, live, overridden []string
	settling := c.settling(running.File)
	for name, inForce := range running.Keys {
		now := file.Origin(name)
		switch {
		case settings.Same(name, inForce.Values, now.Values):
		case inForce.From == api.FromStart && now.From == settings.FromFile:
			overridden = append(overridden, name)
		case inForce.From == api.FromStart || inForce.From != api.FromFile && now.From != settings.FromFile:
			// the file has nothing to do with it
		case settling && settings.AppliesLive(name):
			live = append(live, name)
		default:
			differ = append(differ, name)
		}
	}
	c.addInForce(finding.Wrong, differ, running.File, "set in %s, but not in force: %s", "restart: systemctl restart ssmonitor")
	c.addInForce(finding.Note, live, running.File, "set in %s just now: the agent applies it within an interval: %s", "")
	c.addInForce(finding.Note, overridden, running.File, "set in %s, but the agent was started with other values, which precede: %s",
		"remove them there: from its command line, or its environment (SSMONITOR_...): systemctl cat ssmonitor")
}

// addInForce adds what is to say about keys of the settings file, if there are any.
func (c *checker) addInForce(level finding.Level, keys []string, file, message, remedy string) {
	if len(keys) == 0 {
		return
	}
	slices.Sort(keys)
	c.add(finding.Finding{ID: finding.SettingsInForce, Level: level, Subject: file, Message: fmt.Sprintf(message, file, strings.Join(keys, ", ")), Remedy: remedy})
}

var unitDirectories = [...]string{"/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"}

// unitIsInstalled reports whether the agent's unit is there, by its file.
func (m *Machine) unitIsInstalled() bool {
	return slices.ContainsFunc(unitDirectories[:], func(directory string) bool { return m.exists(filepath.Join(directory, agentService)) })
}

// unitForbids reports whether the unit, as it is installed, keeps the agent from writing a
// file. Where somebody has changed what the unit may write to, nothing is forbidden here:
// the agent itself reports what it can't write.
func (m *Machine) unitForbids(path string) bool {
	for _, directory := range unitDirectories {
		for _, dropIn := range m.glob(filepath.Join(directory, agentService+".d", "*.conf")) {
			content, _ := os.ReadFile(m.path(dropIn)) // else it changes nothing that is known
			if strings.Contains(string(content), "ReadWritePaths=") || strings.Contains(string(content), "ProtectSystem=") {
				return false
			}
		}
	}
	for _, writable := range []string{settings.DefaultRuntime, settings.DefaultState, "/tmp", "/var/tmp", "/dev"} {
		if strings.HasPrefix(filepath.Clean(path)+"/", writable+"/") {
			return false
		}
	}
	return m.unitIsInstalled() && filepath.IsAbs(path)
}

// checkSettingsClients reports clients that a setting names and that no counted port has.
func (c *checker) checkSettingsClients() {
	labels, numbers := make(map[string]bool), make(map[string]bool)
	for _, port := range slices.Concat(c.ports, c.agent.ports()) {
		labels[usage.ClientOf(port.Name, port.Number).Label()] = true
		if port.Name == "" {
			numbers[strconv.Itoa(int(port.Number))] = true
		}
	}
	known := slices.Sorted(maps.Keys(labels))
	if len(known) == 0 {
		return
	}
	for _, key := range []struct {
		name   string
		limits usage.Limits
	}{{"warn", c.Settings.Warn}, {"addresses", c.Settings.Addresses}} {
		for _, client := range slices.Sorted(maps.Keys(key.limits.Clients)) {
			if !labels[client] && !numbers[client] {
				c.add(finding.Finding{ID: finding.SettingsClient, Level: finding.Note, Subject: client,
					Message: fmt.Sprintf("key %s: no client is called %s%s", key.name, client, spelling.DidYouMean(spelling.Closest(client, known))),
					Remedy:  "see the names with ssmonitor client list, and correct the setting"})
			}
		}
	}
}
