package checkup

import (
	"context"
	"fmt"
	"strings"

	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/unit"
)

// The units that the package installs.
const (
	agentService   = "ssmonitor.service"
	setupService   = "ssmonitor-setup.service"
	metricsSocket  = "ssmonitor-metrics.socket"
	metricsService = "ssmonitor-metrics.service"
)

// readService returns the state of a service, nil if it is not known or not installed.
func (m *Machine) readService(ctx context.Context, name string) *unit.Service {
	if m.Service == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	service, err := m.Service(ctx, name)
	if err != nil || service.Loaded == "not-found" {
		return nil
	}
	return service
}

// deadAgent says why no agent is running, and what to do about it.
func (c *checker) deadAgent() (message, remedy string) {
	const dead = "no agent is running: nothing is published, and the totals are not kept"
	service := c.agentService
	if old := c.Machine.findOldUnits(); len(old) > 0 {
		return dead, fmt.Sprintf("first remove %s, which starts the old script: what to do about it is below", old[0])
	}
	switch {
	case service == nil && !c.Machine.unitIsInstalled():
		return dead, runAgent
	case service == nil:
		return dead, startAgent
	case service.Loaded == "bad-setting" || service.Loaded == "error":
		return dead + ": systemd can't use " + agentService, "see why: systemctl status ssmonitor\ncorrect what was changed: systemctl edit ssmonitor"
	case service.Failed():
		return fmt.Sprintf("%s: %s failed: %s", dead, agentService, c.outcome(service)), afterFailure(service, agentService)
	case service.Loaded == "masked":
		return dead + ": " + agentService + " is masked", "systemctl unmask ssmonitor\n" + startAgent
	case service.Active == "activating":
		return dead + ": " + agentService + " is starting", "wait a moment, and " + seeLog
	}
	return dead, startAgent
}

// outcome says how the last run of a service ended, without the mistakes that are findings
// already, and those that are corrected by now.
func (c *checker) outcome(service *unit.Service) string {
	text := service.Outcome()
	if path := correctedSettings(service); path != "" {
		return fmt.Sprintf("%s had a mistake, and is correct by now", terminal.Text(path))
	}
	if c.unsaid(text) == "" {
		return "the reason is what is wrong above"
	}
	return terminal.Text(text)
}

// unsaid returns what is left of a list of errors without those that are findings already,
// or all of it if there are none.
func (c *checker) unsaid(text string) string {
	rest := text
	for _, f := range c.found {
		if f.Level == finding.Wrong {
			rest = strings.ReplaceAll(rest, f.Message, "")
		}
	}
	if rest == text {
		return text
	}
	return strings.Trim(rest, ":; ")
}

// correctedSettings returns the settings file whose mistakes ended a service, if it has
// none by now, or nothing.
func correctedSettings(service *unit.Service) string {
	reason, mistaken := strings.CutPrefix(service.Reason, settings.Reading)
	path, _, located := strings.Cut(reason, ": line ")
	if !mistaken || !located {
		return ""
	}
	if _, err := (settings.Inputs{Keys: settings.All(), File: path}).Load(); err != nil {
		return ""
	}
	return path
}

// afterFailure says what to do about a service that failed: what made it fail is still there.
func afterFailure(service *unit.Service, name string) string {
	if correctedSettings(service) != "" {
		return "start it: systemctl restart " + name
	}
	again := "then start it again: systemctl restart " + name
	if service.Retried() {
		again = "systemd goes on trying by itself"
	}
	log := "see its log: journalctl --unit " + name + "\n"
	switch service.Result {
	case "exit-code":
		return "correct that: journalctl --unit " + name + " has more\n" + again
	case "oom-kill":
		return "give this host more memory, or the service (systemctl edit " + name + "): MemoryMax=\n" + again
	case "watchdog", "core-dump":
		return log + "report it as an error of ssmonitor, with that log\n" + again
	}
	return log + again
}

// checkSetupService reports a service that follows the configurations no more.
func (c *checker) checkSetupService() {
	service := c.setupService
	if service == nil || !service.Failed() {
		return
	}
	c.add(finding.Finding{
		ID: finding.SetupService, Level: finding.Wrong, Subject: setupService,
		Message: fmt.Sprintf("changes of configurations are not followed: %s failed: %s", setupService, c.outcome(service)),
		Remedy:  afterFailure(service, setupService),
	})
}

// checkMetricsService reports why /metrics is not served over TCP, though its socket is
// enabled.
func (c *checker) checkMetricsService() {
	socket, service := c.metricsSocket, c.metricsService
	if socket == nil || socket.Enabled != "enabled" && socket.Active != "active" {
		return
	}
	f := finding.Finding{ID: finding.MetricsService, Level: finding.Wrong, Subject: metricsSocket}
	switch {
	case service != nil && service.Failed():
		f.Subject, f.Remedy = metricsService, afterFailure(service, metricsService)
		f.Message = fmt.Sprintf("/metrics is not served over TCP: %s failed: %s", metricsService, c.outcome(service))
	case socket.Active != "active":
		f.Message = fmt.Sprintf("/metrics is not served over TCP: %s is enabled, but %s", metricsSocket, socket.Active)
		f.Remedy = "see what it says: systemctl status " + metricsSocket + "\nthen start it again: systemctl restart " + metricsSocket
	case c.Settings.Origin("listen").From == settings.FromFile:
		f.Level, f.Message = finding.Note, fmt.Sprintf("key listen: %s has no effect, since %s has the address", c.Settings.Listen, metricsSocket)
		f.Remedy = "remove the key; for another address: systemctl edit " + metricsSocket + ", with ListenStream="
	default:
		return
	}
	c.add(f)
}
