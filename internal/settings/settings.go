package settings

import (
	"maps"
	"reflect"
	"slices"
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

	// Notes say what should be written in another way, although it is understood.
	Notes []string

	// Ignored is what the settings file says about keys that have no effect there.
	Ignored Ignored

	origins map[string]Origin
}

// Ignored is what is read without effect.
type Ignored struct {
	Values map[string][]string // by key
	Err    error               // the mistakes, a *FileError, or nil
}

// Default returns the defaults of every key.
func Default() *Settings {
	defaults, _ := Inputs{Keys: All(), File: NoFile}.Load() // a test has them all
	return defaults
}

// Given reports whether a flag, the environment or the file gives the key.
func (s *Settings) Given(key string) bool { return s.origins[key].From > FromDefault }

// Origin returns where the value of a key comes from.
func (s *Settings) Origin(key string) Origin { return s.origins[key] }

// Origins returns the origin of every key that has effect, by name.
func (s *Settings) Origins() map[string]Origin { return maps.Clone(s.origins) }

// live are the keys that a running agent applies.
var live = []string{"warn", "addresses"}

// AppliesLive reports whether a running agent applies a changed key by itself.
func AppliesLive(key string) bool { return slices.Contains(live, key) }

// Apply returns the settings with those of another load that a running agent applies, and
// the names of the keys that differ otherwise.
func (s *Settings) Apply(loaded *Settings) (applied *Settings, later []string) {
	next := *s
	next.Warn, next.Addresses = loaded.Warn, loaded.Addresses
	next.origins = maps.Clone(s.origins)
	for name, origin := range loaded.origins {
		if AppliesLive(name) {
			next.origins[name] = origin
		} else if !Same(name, s.origins[name].Values, origin.Values) {
			later = append(later, name)
		}
	}
	slices.Sort(later)
	return &next, later
}

// Same reports whether values of a key, as users write them, mean the same.
func Same(name string, a, b []string) bool {
	key := find(All(), name)
	if key == nil {
		return slices.Equal(a, b)
	}
	var one, other Settings
	errA, errB := key.parse(key, &one, a), key.parse(key, &other, b)
	return errA == nil && errB == nil && reflect.DeepEqual(one, other)
}

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
