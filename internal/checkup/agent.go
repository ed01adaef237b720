package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/terminal"
)

// AgentState is what was learned about the agent.
type AgentState struct {
	Report       *accounting.Report // its answer on the socket, or nil
	ReportErr    error              // why there is no answer; nil without a socket
	NotListening bool               // ReportErr means that no agent listens on the socket

	Holder    Holder // of the state directory; the zero Holder: none
	HolderErr error  // why the holder is not known, or nil
}

// Holder is the process that holds the state directory.
type Holder struct {
	PID     int
	Command string // the subcommand, such as run
}

func (a *AgentState) running() bool { return a.Report != nil || a.Holder.Command == "run" }

// ports returns the ports of the agent that answered.
func (a *AgentState) ports() (ports accounting.Ports) {
	if a.Report == nil {
		return nil
	}
	for _, port := range a.Report.Ports {
		ports = append(ports, port.Port)
	}
	return ports
}

// agent checks whether one runs: it answers on the socket, or holds the state.
func (c *Check) agent() []finding.Finding {
	level, message, remedy := c.agentState()
	return []finding.Finding{{ID: finding.Agent, Level: level, Subject: c.Socket, Message: message, Remedy: remedy}}
}

func (c *Check) agentState() (level finding.Level, message, remedy string) {
	a := &c.Agent
	switch {
	case a.Report != nil:
		age := max(0, c.Machine.Now.Sub(a.Report.Time)).Round(100 * time.Millisecond)
		return finding.OK, fmt.Sprintf("the agent answers on %s: %s, last read %s ago", c.Socket, terminal.Count(len(a.Report.Ports), "port"), age), ""
	case errors.Is(a.ReportErr, fs.ErrPermission):
		return finding.Unknown, fmt.Sprintf("the agent on %s can't be asked: this user may not connect", c.Socket),
			asRoot + "\nor add the user to the socket's group: usermod --append --groups " + c.Group + " USER"
	case a.running() && c.Socket != "":
		return finding.Wrong, fmt.Sprintf("the agent, process %d, does not answer on %s: %v", a.Holder.PID, c.Socket, a.ReportErr),
			"name the socket that it listens on with --socket\nor restart it: systemctl restart ssmonitor"
	case a.running():
		return finding.OK, fmt.Sprintf("the agent is running: process %d holds %s", a.Holder.PID, c.State), ""
	case a.Holder.PID != 0:
		return finding.Note, fmt.Sprintf("process %d (ssmonitor %s) holds %s: the agent can't start before it ends", a.Holder.PID, a.Holder.Command, c.State), ""
	case a.ReportErr != nil && !a.NotListening:
		return finding.Wrong, a.ReportErr.Error(), seeLog
	case errors.Is(a.HolderErr, fs.ErrPermission) && c.Socket == "":
		return finding.Unknown, "whether an agent is running can't be seen: " + a.HolderErr.Error(), asRoot
	case a.HolderErr != nil && !errors.Is(a.HolderErr, fs.ErrPermission):
		return finding.Wrong, a.HolderErr.Error(), "make sure that --state names the agent's directory"
	}
	return finding.Wrong, "no agent is running: nothing is published, and the totals are not kept", startAgent
}
