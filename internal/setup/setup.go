// Package setup is what `ssmonitor setup` does: it finds the ports in the configurations
// of Shadowsocks, writes the list of ports that the agent serves, and installs their
// counters; once, or again whenever something changes.
package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/presence"
	"ssmonitor/integration/processes"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/portadvice"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/terminal"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
)

// ErrNoPort means that the sources name no port.
const ErrNoPort = terminal.Message("no port found: name Shadowsocks' configuration, as in\n" +
	"   ssmonitor setup --shadowsocks /etc/shadowsocks/config.json\n" +
	"or the ports themselves, as in\n" +
	"   ssmonitor setup --port 20000=alice --port 20001=bob")

// RunningServers is where setup and check look for servers beside their configurations.
var RunningServers = &processes.Procfs{Proc: "/proc", Listeners: sockdiag.ListeningSockets}

// Found are the ports, and where the host forwards those that are published.
type Found struct {
	sources.Result
	Forwarding accounting.Forwarding
	Remarks    []finding.Remark // on both

	kept     []string // what goes to the file of clients before the list is written, as in the flag --port
	progress func()   // see [nft.Options]
}

// Sources returns where setup takes the ports from: what is named, and the usual places.
func Sources(s *settings.Settings) sources.Sources {
	from := s.Sources()
	if !s.NoSearch {
		from.SearchRoot = "/"
		from.Processes = RunningServers
		from.Earlier = s.List
	}
	return from
}

// Find reads the sources, and where those of the ports lead that are published. What ports
// names, as in the flag --port, is written to the file of clients, if there is one, when the
// rest is applied. The error is ErrNoPort if the sources name no port, unless the file of
// clients had all that are listed. The remarks are valid
// in any case.
func Find(s *settings.Settings, ports []string) (*Found, error) {
	from := Sources(s)
	if s.Clients == "" {
		ports = nil
	}
	if len(ports) > 0 {
		from.Ports, from.Targets, from.ClientChanges = nil, nil, clients.AssignAll(ports...)
	}
	found, err := find(sources.Follow(from), publishing.NewTracker(s.Hook), s)
	found.kept = ports
	return found, err
}

func find(follower *sources.Follower, tracker *publishing.Tracker, s *settings.Settings) (*Found, error) {
	result, err := follower.Load()
	found := &Found{Result: result, Remarks: finding.Warnings(result.Notes...)}
	if note := s.PortNote(); note != nil {
		found.Remarks = append(found.Remarks, finding.Warnings(note)...)
	}
	switch {
	case err != nil:
		return found, failure.Wrong(err)
	case len(result.Ports) == 0 && !onlyFormer(s):
		return found, ErrNoPort
	}
	return found, found.decide(tracker, s.Hook)
}

// onlyFormer reports whether all that the list has are ports that the file of clients had
// before: whoever removed the last one there wants none counted.
func onlyFormer(s *settings.Settings) bool {
	if s.Clients == "" {
		return false
	}
	list, err := portlist.Read(s.List)
	return err == nil && len(list) > 0 && len(sources.OfOthers(list, sources.ClientsSource(s.Clients))) == 0
}

// decide decides where published ports lead. Where the kernel can't be asked there is no
// decision, and a remark why.
func (f *Found) decide(tracker *publishing.Tracker, hook nft.Hook) error {
	// First, since it explains what the kernel refuses. Without an owner: this only reads.
	table, err := nft.Open(nft.Options{Hook: hook})
	if errors.Is(err, nft.ErrPermission) || errors.Is(err, nft.ErrNoNFTables) {
		publishing.SetPublished(&f.Result, f.Targets)
		f.Forwarding = accounting.Forwarding{Known: true, Targets: f.Targets}
		_, cause := nft.Explain(err)
		f.Remarks = append(f.Remarks, finding.Warnings(fmt.Errorf("ports that a container engine publishes can't be recognised: %w", cause))...)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = table.Close() }()
	decision, err := tracker.Decide(f.Ports, f.Targets, table.Targets)
	if err != nil {
		return err
	}
	publishing.SetPublished(&f.Result, decision.Targets)
	f.Forwarding = decision.Forwarding
	f.Remarks = append(f.Remarks, finding.Remarks(decision.Findings)...)
	return nil
}

// Compare compares what was found with the list that setup would replace, and changes
// nothing. The list of a user that may not read it counts as empty.
func Compare(s *settings.Settings, found *Found) (*Report, []finding.Remark, error) {
	earlier, remarks, err := earlierList(s.List)
	if errors.Is(err, fs.ErrPermission) {
		err = nil
	}
	if err != nil {
		return nil, remarks, err
	}
	if len(found.kept) > 0 {
		remarks = append(remarks, found.aboutKept("would be written to "+s.Clients))
	}
	return newReport(s.List, earlier, found), append(remarks, aboutPorts(found.Ports, s.Hook)...), nil
}

// Apply writes the list of ports and installs their counters.
func Apply(s *settings.Settings, found *Found) (*Report, []finding.Remark, error) {
	earlier, remarks, err := earlierList(s.List)
	if err != nil {
		return nil, remarks, err
	}
	remarks = append(remarks, aboutPorts(found.Ports, s.Hook)...)
	installed, err := install(s, found)
	return newReport(s.List, earlier, found), append(remarks, installed...), err
}

// aboutPorts remarks what is odd about the ports on this machine.
func aboutPorts(ports accounting.Ports, hook nft.Hook) (remarks []finding.Remark) {
	if err := unit.MemoryNote("/", len(ports)); err != nil {
		remarks = finding.Warnings(err)
	}
	return append(remarks, finding.Remarks(portadvice.Findings("/", ports, hook))...)
}

// install writes the list and installs the counters.
func install(s *settings.Settings, found *Found) (remarks []finding.Remark, err error) {
	table, err := nft.Open(nft.Options{Hook: s.Hook, Own: s.Own, Progress: found.progress})
	if err != nil {
		return nil, err
	}
	defer func() { _ = table.Close() }()
	if len(found.kept) > 0 {
		if err := clients.Edit(s.Clients, clients.AssignAll(found.kept...)...); err != nil {
			return nil, err
		}
		remarks = append(remarks, found.aboutKept("is in "+s.Clients+" now, and stays until it is changed there"))
	}
	// The list comes first: a running agent removes counters of ports that it
	// does not know.
	if err := portlist.Write(s.List, found.Entries); err != nil {
		return nil, err
	}
	agent, err := presence.Find(s.StateDirectory, settings.DefaultState)
	if err != nil {
		return nil, err
	}
	if agent == nil {
		table.SetForwarding(found.Forwarding) // otherwise the agent does, alone
	}
	owned, err := installCounters(table, found.Ports)
	if err != nil {
		return remarks, err
	}
	if owned {
		remarks = append(remarks, finding.Warnings(errors.New("the running agent owns the table and loads the new list by itself"))...)
	}
	other, err := otherList(agent, s.List)
	return append(remarks, other...), err
}

// aboutKept remarks what becomes of the ports that were named.
func (f *Found) aboutKept(what string) finding.Remark {
	return finding.Warnings(fmt.Errorf("what --port names %s: %s", what, clients.Blocks(f.kept...)))[0]
}

// otherList returns a remark if the running agent does not follow the list.
func otherList(agent *presence.Agent, list string) ([]finding.Remark, error) {
	if agent == nil {
		return nil, nil
	}
	path, err := filepath.Abs(list)
	if err != nil || agent.List == path {
		return nil, err
	}
	return finding.Warnings(fmt.Errorf("the running agent does not follow %s and removes the counters of ports that it does not know: "+
		"start it without --port and --shadowsocks, or with --list %s", path, path)), nil
}

// earlierList returns the list that is replaced, and a remark if the list has a
// mistake. A file that setup did not write and can't read may be anything.
func earlierList(path string) (entries []portlist.Entry, remarks []finding.Remark, err error) {
	entries, err = portlist.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, new(*portlist.LineError)), errors.Is(err, portlist.ErrNotAList):
		if !portlist.WrittenBySetup(path) {
			return nil, nil, fmt.Errorf("%w: setup did not write this file, and does not replace it: correct or remove it, or name another one with --list", err)
		}
		return entries, finding.Warnings(fmt.Errorf("%w; the list is replaced", err)), nil
	case err != nil:
		return nil, nil, err
	}
	return entries, nil, nil
}

// installCounters reports whether the running agent owns the table, so that only
// the agent can change it.
func installCounters(table *nft.Table, ports accounting.Ports) (owned bool, err error) {
	differences, err := table.Verify(ports)
	if err != nil || len(differences) == 0 {
		return false, err
	}
	err = table.Install(ports)
	if errors.Is(err, nft.ErrOwned) {
		return true, nil
	}
	return false, err
}
