package checkup

import (
	"context"
	"fmt"

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
func deadAgent(service *unit.Service) (message, remedy string) {
	const dead = "no agent is running: nothing is published, and the totals are not kept"
	switch {
	case service == nil:
		return dead, startAgent
	case service.Loaded == "bad-setting" || service.Loaded == "error":
		return dead + ": systemd can't use " + agentService, "see why: systemctl status ssmonitor\ncorrect what was changed: systemctl edit ssmonitor"
	case service.Failed():
		return fmt.Sprintf("%s: %s failed: %s", dead, agentService, terminal.Text(service.Outcome())), afterFailure(service, agentService)
	case service.Loaded == "masked":
		return dead + ": " + agentService + " is masked", "systemctl unmask ssmonitor\n" + startAgent
	case service.Active == "activating":
		return dead + ": " + agentService + " is starting", "wait a moment, and " + seeLog
	}
	return dead, startAgent
}

// afterFailure says what to do about a service that failed: what made it fail is still there.
func afterFailure(service *unit.Service, name string) string {
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
		Message: fmt.Sprintf("changes of configurations are not followed: %s failed: %s", setupService, terminal.Text(service.Outcome())),
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
		f.Message = fmt.Sprintf("/metrics is not served over TCP: %s failed: %s", metricsService, terminal.Text(service.Outcome()))
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
