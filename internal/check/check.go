// Package check is what `ssmonitor check` does: it asks the kernel, the agent and the ledger
// for what integration/checkup judges.
package check

import (
	"context"
	"errors"
	"time"

	"ssmonitor/accounting/store"
	"ssmonitor/integration/checkup"
	"ssmonitor/internal/agent"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/setup"
	"ssmonitor/nft"
	"ssmonitor/output/api"
)

// agentPatience bounds how long the agent may take to answer.
const agentPatience = 5 * time.Second

// Findings returns what is right and wrong with counting by the settings. settingsErr is why
// the settings file has no part in these, or nil.
func Findings(ctx context.Context, s *settings.Settings, settingsErr error) []checkup.Finding {
	from := setup.Sources(s)
	from.Earlier = "" // check shows what is there now
	task := &checkup.Check{
		Machine:     checkup.ThisMachine(),
		SettingsErr: settingsErr,
		Sources:     from,
		List:        s.List,
		State:       s.State,
		Socket:      s.Socket,
		CSV:         s.CSV,
		Group:       agent.Group,
		Interval:    settings.Default().Interval,
		Hook:        string(s.Hook),
		Own:         string(s.Own),
		Listeners:   listeningPorts,
		Agent:       agentState(ctx, s.State, s.Socket),
	}
	// Without an owner, so that Open does not probe for owned tables.
	table, err := nft.Open(nft.Options{Hook: s.Hook})
	if err == nil {
		defer func() { _ = table.Close() }()
		task.Kernel = &kernel{table, s.Hook}
	}
	task.KernelRemedy, task.KernelErr = nft.Explain(err)
	task.LedgerProblems, task.LedgerErr = store.Check(s.State)
	return task.Findings()
}

// agentState asks the agent for its report and the state directory for its
// holder.
func agentState(ctx context.Context, state, socket string) (agent checkup.AgentState) {
	holder, err := store.Holder(state)
	if holder != nil {
		agent.Holder = checkup.Holder{PID: holder.PID, Command: holder.Holder}
	}
	agent.HolderErr = err
	if socket != "" {
		ctx, cancel := context.WithTimeout(ctx, agentPatience)
		defer cancel()
		agent.Report, agent.ReportErr = api.NewClient(socket).Report(ctx)
		agent.NotListening = errors.Is(agent.ReportErr, api.ErrAgentNotRunning)
	}
	return agent
}
