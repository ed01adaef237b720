package checkup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/health"
	"ssmonitor/internal/terminal"
	"ssmonitor/output/api"
)

// agentPatience bounds how long the agent may take to answer.
const agentPatience = 5 * time.Second

// agentState is what was learned about the agent.
type agentState struct {
	Report    *accounting.Report // its answer on the socket, or nil
	ReportErr error              // why there is no answer; nil without a socket
	Settings  *api.Settings      // that it runs with; nil: it does not say

	Problems    []health.Problem // that it knows
	ProblemsErr error            // why they are not known; nil without an agent that answers

	Holder    *store.LockedError // the process that holds the state directory, or nil
	HolderErr error              // why the holder is not known, or nil
}

// askAgent asks the agent at a socket for its report, unless the path is empty, and the
// state directory for its holder.
func askAgent(ctx context.Context, state, socket string) (agent agentState) {
	agent.Holder, agent.HolderErr = store.Holder(state)
	if socket != "" {
		ctx, cancel := context.WithTimeout(ctx, agentPatience)
		defer cancel()
		client := api.NewClient(socket)
		if agent.Report, agent.ReportErr = client.Report(ctx); agent.ReportErr == nil {
			agent.Settings, _ = client.Settings(ctx) // older agents don't have it
		}
		agent.Problems, agent.ProblemsErr = client.Problems(ctx)
	}
	return agent
}

func (a *agentState) running() bool {
	return a.Report != nil || a.Holder != nil && a.Holder.Holder == store.AgentHolder
}

// ports returns the ports of the agent that answered.
func (a *agentState) ports() (ports accounting.Ports) {
	if a.Report == nil {
		return nil
	}
	for _, port := range a.Report.Ports {
		ports = append(ports, port.Port)
	}
	return ports
}

// checkAgent checks whether one runs: it answers on the socket, or holds the state.
func (c *checker) checkAgent() {
	level, message, remedy := c.judgeAgent()
	c.add(finding.Finding{ID: finding.Agent, Level: level, Subject: c.Settings.Socket, Message: message, Remedy: remedy})
}

func (c *checker) judgeAgent() (level finding.Level, message, remedy string) {
	a := &c.agent
	switch {
	case a.Report != nil:
		age := max(0, c.Machine.Now.Sub(a.Report.Time)).Round(100 * time.Millisecond)
		return finding.OK, fmt.Sprintf("the agent answers on %s: %s, last read %s ago", c.Settings.Socket, terminal.Count(len(a.Report.Ports), "port"), age), ""
	case errors.Is(a.ReportErr, fs.ErrPermission):
		return finding.Unknown, fmt.Sprintf("the agent on %s can't be asked: this user may not connect", c.Settings.Socket),
			asRoot + "\nor add the user to the socket's group: usermod --append --groups " + c.Group + " USER"
	case a.running() && c.Settings.Socket != "" && c.agentService != nil && c.agentService.Failed():
		return finding.Wrong, fmt.Sprintf("%s failed: %s; the agent that runs, process %d, does not answer on %s", agentService, c.outcome(c.agentService), a.Holder.PID, c.Settings.Socket),
			fmt.Sprintf("end that process, if the service is to count: kill %d\n%s", a.Holder.PID, afterFailure(c.agentService, agentService))
	case a.running() && c.Settings.Socket != "":
		return finding.Wrong, fmt.Sprintf("the agent, process %d, does not answer on %s: %v", a.Holder.PID, c.Settings.Socket, a.ReportErr),
			"name the socket that it listens on with --socket\nor restart it: systemctl restart ssmonitor"
	case a.running():
		return finding.OK, fmt.Sprintf("the agent is running: process %d holds %s", a.Holder.PID, c.Settings.StateDirectory), ""
	case a.Holder != nil:
		return finding.Note, fmt.Sprintf("process %d (ssmonitor %s) holds %s: the agent can't start before it ends", a.Holder.PID, a.Holder.Holder, c.Settings.StateDirectory), ""
	case a.ReportErr != nil && !errors.Is(a.ReportErr, api.ErrAgentNotRunning):
		return finding.Wrong, a.ReportErr.Error(), seeLog
	case errors.Is(a.HolderErr, fs.ErrPermission) && c.Settings.Socket == "":
		return finding.Unknown, "whether an agent is running can't be seen: " + a.HolderErr.Error(), c.Machine.needRoot()
	case a.HolderErr != nil && !errors.Is(a.HolderErr, fs.ErrPermission):
		return finding.Wrong, a.HolderErr.Error(), "make sure that --state names the agent's directory"
	}
	message, remedy = c.deadAgent()
	return finding.Wrong, message, remedy
}

// checkProblems reports what the agent knows to be wrong with itself.
func (c *checker) checkProblems() {
	if errors.Is(c.agent.ProblemsErr, api.ErrOldAgent) && c.agent.Report != nil {
		c.add(finding.Finding{ID: finding.AgentProblem, Level: finding.Unknown, Subject: c.Settings.Socket,
			Message: "what the agent knows to be wrong is unknown: it is older than this program", Remedy: "restart it: systemctl restart ssmonitor"})
	}
	for _, problem := range c.agent.Problems {
		level := finding.Wrong
		if problem.Level == health.Note {
			level = finding.Note
		}
		message := problem.Message
		if rest := c.unsaid(message); rest != message && !strings.Contains(rest, ": ") {
			level, message = finding.Note, rest // it has no error that is not a finding already
		}
		c.add(finding.Finding{ID: finding.AgentProblem, Level: level, Subject: string(problem.ID),
			Message: fmt.Sprintf("since %s: %s", problem.Since.Local().Format("2006-01-02 15:04:05"), terminal.Text(message)),
			Remedy:  terminal.Text(problem.Remedy)})
	}
}
