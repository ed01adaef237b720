package health

import "iter"

// ID identifies what a process can know to be wrong with itself. IDs are stable between
// versions, unlike the messages; integration/findings.md describes each.
type ID string

// The IDs, in the order in which problems that began together are listed.
const (
	Readings      ID = "readings"
	Table         ID = "table"
	Saves         ID = "saves"
	Settings      ID = "settings"
	PortList      ID = "port-list"
	NewPorts      ID = "new-ports"
	RemovedPorts  ID = "removed-ports"
	Published     ID = "published-ports"
	Handover      ID = "handover"
	Connections   ID = "connections"
	Limits        ID = "limits"
	Socket        ID = "socket"
	ControlSocket ID = "control-socket"
	Textfile      ID = "textfile"
	CSVFile       ID = "csv-file"
)

// Level is how serious a problem is.
type Level string

// The levels.
const (
	Wrong Level = "wrong" // counting, or something that is set, does not work
	Note  Level = "note"  // all of that works; there is less to see, or to command
)

// kind has the texts for all problems of one ID.
type kind struct {
	id       ID
	level    Level
	broken   string // what does not work; the error follows
	repaired string // what is logged when it works again
	remedy   string
}

var kinds = []kind{
	{Readings, Wrong, "the counters can't be read", "the counters are read again",
		"restart the agent: systemctl restart ssmonitor"},
	{Table, Wrong, "the table can't be repaired; there are no rates until it is", "the table is correct again",
		"see what else changes the ruleset: ssmonitor check"},
	{Saves, Wrong, "the totals can't be saved; counting continues, and saving is tried again", "the totals are saved again",
		"make room on the disk of the state directory, and let the agent write there: until then a restart of this host loses what is not saved"},
	{Settings, Wrong, "the settings can't be applied in full; those in force stay", "the settings are applied again",
		"correct the file"},
	{PortList, Wrong, "the sources of ports can't be read; the ports in force stay", "the sources of ports are read again",
		"correct the file"},
	{NewPorts, Wrong, "the new ports can't be counted yet", "the new ports are counted",
		"see what else changes the ruleset: ssmonitor check"},
	{RemovedPorts, Wrong, "ports that are not in force are still counted", "ports that are not in force are counted no more",
		"restart the agent: systemctl restart ssmonitor"},
	{Published, Wrong, "where ports are published to can't be determined; what is counted at forward stays", "where ports are published to is determined again",
		"name the targets: --port 8388@172.17.0.2:8388"},
	{Handover, Wrong, "a port still belongs to the previous client", "the port belongs to its client",
		"give it again: ssmonitor client new"},
	{Connections, Note, "the connections can't be counted; they are unknown until they can", "the connections are counted again",
		"load the kernel's modules, where it has them: modprobe --all inet_diag tcp_diag; then restart the agent: systemctl restart ssmonitor"},
	{Limits, Wrong, "the usage can't be compared with the limits", "the usage is compared with the limits again",
		"see the agent's log: journalctl --unit ssmonitor"},
	{Socket, Wrong, "the socket is gone, and nobody can connect to it until it is back: will keep trying", "the socket is back",
		"create its directory, or let systemd do so: systemctl restart ssmonitor"},
	{ControlSocket, Note, "no command can change this agent; it counts nevertheless", "commands can change this agent again",
		"put --socket in a directory of its own"},
	{Textfile, Wrong, "the textfile can't be written", "the textfile is written again",
		"make its directory writable for the agent, or name another --textfile"},
	{CSVFile, Wrong, "the CSV file can't be written", "the CSV file is written again",
		"make its directory writable for the agent, or name another --csv"},
}

// Levels returns all IDs, in their order, each with its level.
func Levels() iter.Seq2[ID, Level] {
	return func(yield func(ID, Level) bool) {
		for i := range kinds {
			if !yield(kinds[i].id, kinds[i].level) {
				return
			}
		}
	}
}
