package settings

import (
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
)

// Settings are the values in force. An empty path or address means none.
type Settings struct {
	// Where the ports come from.
	Shadowsocks   []string // configurations of servers, and directories of these
	ServerConfigs []string // configurations that look like those of clients
	AnyProtocol   bool     // take ports of every protocol from configurations
	NoSearch      bool     // look in no usual place
	Ports         []accounting.Port
	Targets       []accounting.Target // of these ports
	PortSpecs     []string            // Ports and Targets as they were given
	PortFile      string              // the settings file, if that gives Ports
	List          string              // the list of ports
	Clients       string              // the file of clients

	// How they are counted.
	Hook                   nft.Hook
	Own                    nft.Own
	Interval, SaveInterval time.Duration

	// What is kept.
	StateDirectory      string // the directory of the ledger
	Zone                *time.Location
	MonthDay            int
	KeepHours, KeepDays time.Duration

	// What is published.
	CSV, Socket, Textfile, Listen, WebConfig string
	MetricsNames                             bool // whether metrics have the names of clients
	Charts                                   int  // the most ports with charts of their own

	// What is warned of.
	Warn      usage.Limits
	Addresses usage.Limits

	given map[string]bool
}

// Default returns the defaults of every key.
func Default() *Settings {
	defaults, _ := Inputs{Keys: All(), File: NoFile}.Load() // a test has them all
	return defaults
}

// Given reports whether a flag, the environment or the file gives the key.
func (s *Settings) Given(key string) bool { return s.given[key] }

// HasPortSources reports whether ports or configurations are named.
func (s *Settings) HasPortSources() bool {
	return len(s.Ports)+len(s.Shadowsocks)+len(s.ServerConfigs) > 0
}

// Sources are the ports and configurations that are named, for both that read them: setup
// searches others, too, and the agent has the list.
func (s *Settings) Sources() sources.Sources {
	return sources.Sources{
		Shadowsocks: s.Shadowsocks, Servers: s.ServerConfigs, AnyProtocol: s.AnyProtocol,
		Ports: s.Ports, Targets: s.Targets, PortFile: s.PortFile, Clients: s.Clients,
	}
}

// Calendar divides usage into periods.
func (s *Settings) Calendar() usage.Calendar {
	return usage.Calendar{Zone: s.Zone, MonthDay: s.MonthDay}
}
