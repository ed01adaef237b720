package agent

import (
	"path/filepath"
	"strings"

	"ssmonitor/accounting/usage"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/health"
	"ssmonitor/internal/settings"
	"ssmonitor/output/api"
)

// applySettings loads the settings again and applies those that a running agent can. After
// a mistake, all in force stay.
func (a *agent) applySettings() {
	a.settingsFile = sources.Watch(a.Inputs.FilePath()) // before it is read
	loaded, err := a.Inputs.Load()
	if err != nil {
		a.board.Observe(health.Settings, err)
		return
	}
	a.board.Observe(health.Settings, loaded.Ignored.Err)
	applied, later := a.inForce.Load().Apply(loaded)
	a.inForce.Store(applied)
	keys := strings.Join(later, ", ")
	if keys != "" && keys != a.later { // a file that was written just now is read twice
		a.Log.Warn("some settings wait for a restart", "keys", keys, "remedy", "systemctl restart ssmonitor")
	}
	a.later = keys
}

// warn and addresses return the limits in force. They are safe for concurrent use.
func (a *agent) warn() usage.Limits      { return a.inForce.Load().Warn }
func (a *agent) addresses() usage.Limits { return a.inForce.Load().Addresses }

// publishedSettings returns the settings in force as readers get them.
func (a *agent) publishedSettings() *api.Settings {
	published := &api.Settings{Keys: make(map[string]api.Setting)}
	if path := a.Inputs.FilePath(); path != "" {
		published.File, _ = filepath.Abs(path) // fails without a working directory
	}
	for name, origin := range a.inForce.Load().Origins() {
		from := map[settings.From]string{settings.FromFile: api.FromFile, settings.FromStart: api.FromStart}[origin.From]
		published.Keys[name] = api.Setting{From: from, Values: origin.Values}
	}
	return published
}
