package settings

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ssmonitor/integration/clients"
)

// Key is one setting: the flag --NAME, the variable SSMONITOR_NAME and the key NAME of
// the settings file.
type Key struct {
	Name string
	// Usage says in a line what the setting does. The words in backquotes name the value:
	// alternatives as in `host|container`, FILE, DIRECTORY. Shells complete it by that.
	Usage string
	// Default is the value of a key that is given nowhere, as users write it.
	Default string
	// DefaultText describes the default where that is not a value; empty: see Default.
	DefaultText string
	// Former is the name that the key had, which is understood as well; empty: none.
	Former string
	// notFormer is what to do about a value that the former name never had.
	notFormer string

	Repeatable bool
	Switch     bool // has no value on the command line

	perClient *perClient // nil: the file has no map of clients
	parse     parser
}

// perClient describes the map of clients that the file may have for a key.
type perClient struct {
	thing   string // what a client has, as in "a limit"
	example string
}

// Variable returns the name of the key's environment variable.
func (k *Key) Variable() string { return variableOf(k.Name) }

func variableOf(name string) string {
	return "SSMONITOR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// The paths and the file names that are used unless others are named.
const (
	DefaultFile    = "/etc/ssmonitor/config.yaml"
	DefaultList    = "/etc/ssmonitor/ports"
	DefaultRuntime = "/run/ssmonitor"
	DefaultState   = "/var/lib/ssmonitor"

	CSVName    = "ssmonitor.csv" // in the runtime directory
	SocketName = "ssmonitor.sock"
)

// DefaultInterval is how often the agent reads the counters, and readers their values.
const DefaultInterval = "2s"

// Group is the group that may read what the agent knows: its socket, and the ledger.
const Group = "ssmonitor"

// NoFile is the value of --config for no settings file.
const NoFile = "none"

// Config is not a key of the file: it names the file.
var Config = Key{
	Name: "config", DefaultText: DefaultFile + ", if it exists",
	Usage: "read settings from the YAML `FILE`: each flag is a key, such as \"interval: 5s\"; none: no file",
}

// PortKeys are the names of the keys for the ports and how to count them.
var PortKeys = []string{"shadowsocks", "server-config", "any-protocol", "port", "list", "clients", "hook", "own"}

// IgnoredByAgent are the names of the keys that an agent has no use for in the settings
// file, so that no mistake in one keeps it from counting. An agent that is given the list of
// ports, as the service is, leaves further ones to setup.
var (
	IgnoredByAgent   = []string{"no-search", "listen", "web-config", "charts"}
	IgnoredByService = append([]string{"shadowsocks", "server-config", "any-protocol", "port"}, IgnoredByAgent...)
)

// PeriodKeys are the names of the keys that divide usage into periods.
var PeriodKeys = []string{"zone", "month-day"}

// RetentionKeys are the names of the keys for how long usage is kept.
var RetentionKeys = []string{"keep-hours", "keep-days"}

// Keys returns the keys with the names. lookup returns variables of the environment,
// some of which set defaults: RUNTIME_DIRECTORY and STATE_DIRECTORY of systemd's units.
func Keys(lookup func(string) string, names ...string) []Key {
	keys := all(lookup)
	return slices.DeleteFunc(keys, func(key Key) bool { return !slices.Contains(names, key.Name) })
}

// All returns every key.
func All() []Key { return all(func(string) string { return "" }) }

func all(lookup func(string) string) []Key {
	runtime := RuntimeDirectory(lookup)
	return []Key{
		{
			Name: "shadowsocks", Repeatable: true, parse: texts(func(s *Settings) *[]string { return &s.Shadowsocks }),
			Usage: "take the ports from a server's configuration: a `FILE or DIRECTORY`, repeatable",
		},
		{
			Name: "server-config", Repeatable: true, parse: texts(func(s *Settings) *[]string { return &s.ServerConfigs }),
			Usage: "like --shadowsocks, for a `FILE` that looks like a client's but is a server's, repeatable",
		},
		{
			Name: "any-protocol", Switch: true, parse: yes(func(s *Settings) *bool { return &s.AnyProtocol }),
			Usage: "take the ports of every protocol from a configuration, not those of Shadowsocks alone",
		},
		{
			Name: "port", Repeatable: true, parse: ports,
			Usage: "count a port, or name one that a file gives: `PORT[-PORT][/tcp|/udp][@ADDRESS[:PORT]]...[=NAME]`, repeatable; after @: where the host forwards it",
		},
		{
			Name: "list", Former: "ports", notFormer: "it names the file with the list; ports themselves go to clients.yaml, or to the key port", Default: DefaultList, parse: text(func(s *Settings) *string { return &s.List }),
			Usage: "the `FILE` with the list of ports: setup writes it, run reads and follows it",
		},
		{
			Name: "clients", DefaultText: clients.DefaultName + " beside the list of ports", parse: text(func(s *Settings) *string { return &s.Clients }),
			Usage: "the `FILE` of clients, whose ports count and whose names are preferred to all others; empty: none",
		},
		{
			Name: "hook", Default: "host", parse: hook,
			Usage: "where to count: `host|container`; container: every port before addresses are translated, and before the firewall",
		},
		{
			Name: "own", Default: "no", parse: own,
			Usage: "whether the agent alone may change the table: `no|auto|yes` (Linux 6.9; a saved ruleset with an owned table does not load while the agent runs)",
		},
		{
			Name: "no-search", Switch: true, parse: yes(func(s *Settings) *bool { return &s.NoSearch }),
			Usage: "do not look for configurations in the usual places, nor for running servers",
		},
		{
			Name: "state", Default: unitDirectory(lookup, "STATE_DIRECTORY", DefaultState), parse: directory(func(s *Settings) *string { return &s.StateDirectory }),
			Usage: "keep the totals in `DIRECTORY`",
		},
		{
			Name: "interval", Default: DefaultInterval, parse: interval(func(s *Settings) *time.Duration { return &s.Interval }, ShortestInterval),
			Usage: "read and publish once per `TIME`",
		},
		{
			Name: "save-interval", Default: "10s", parse: interval(func(s *Settings) *time.Duration { return &s.SaveInterval }, 0),
			Usage: "save the totals once per `TIME`, and at the end",
		},
		{
			Name: "zone", DefaultText: "the host's", parse: zone,
			Usage: "begin days and months at midnight in the time `ZONE`, such as Asia/Tehran",
		},
		{
			Name: "month-day", Default: "1", parse: monthDay,
			Usage: "begin months on this `DAY`, 1 to 28",
		},
		{
			Name: "keep-hours", Default: "90d", parse: keep(func(s *Settings) *time.Duration { return &s.KeepHours }),
			Usage: "keep the usage of each hour for this `TIME`, in days, weeks or years: 90d, 12w, 2y",
		},
		{
			Name: "keep-days", Default: "2y", parse: keep(func(s *Settings) *time.Duration { return &s.KeepDays }),
			Usage: "keep the usage of each day for this `TIME`; months are kept for ever",
		},
		{
			Name: "csv", Default: filepath.Join(runtime, CSVName), parse: text(func(s *Settings) *string { return &s.CSV }),
			Usage: "write the rates to `FILE`; empty: write no file",
		},
		{
			Name: "socket", Default: filepath.Join(runtime, SocketName), parse: text(func(s *Settings) *string { return &s.Socket }),
			Usage: "answer readers on the unix socket `FILE`, and root on control.sock beside it; empty: open neither",
		},
		{
			Name: "listen", Default: "127.0.0.1:10977", parse: listen,
			Usage: "answer GET /metrics on the TCP `ADDRESS`, unless systemd gives a socket",
		},
		{
			Name: "web-config", DefaultText: "none", parse: text(func(s *Settings) *string { return &s.WebConfig }),
			Usage: "TLS and passwords for /metrics on TCP: a web configuration `FILE` as Prometheus' exporters have it",
		},
		{
			Name: "metrics-names", Default: "yes", parse: metricsNames,
			Usage: "whether metrics have the names of clients: `yes|no`",
		},
		{
			Name: "textfile", DefaultText: "none", parse: text(func(s *Settings) *string { return &s.Textfile }),
			Usage: "write the metrics to `FILE` for node_exporter's textfile collector",
		},
		{
			Name: "warn", Repeatable: true, perClient: &perClient{"a limit", "alice: 50GB"}, parse: warn,
			Usage: "warn when a client uses more than this in a month: `[CLIENT=]SIZE`, such as 100GB or alice=50GB, repeatable",
		},
		{
			Name: "addresses", Repeatable: true, perClient: &perClient{"a limit", "alice: 5"}, parse: addresses,
			Usage: "warn when more addresses than this are connected to a port for a minute: `[CLIENT=]NUMBER`, such as 3 or alice=5, repeatable; a device has several if it uses IPv4 and IPv6, MPTCP or a carrier's NAT",
		},
		{
			Name: "charts", Default: "100", parse: charts,
			Usage: "give charts of their own to this `NUMBER` of ports at most; all: to every port; none: to no port",
		},
	}
}

// RuntimeDirectory is where the agent puts the CSV file and the socket.
func RuntimeDirectory(lookup func(string) string) string {
	return unitDirectory(lookup, "RUNTIME_DIRECTORY", DefaultRuntime)
}

// unitDirectory returns the first of the directories that systemd gave to the unit, which
// a colon separates.
func unitDirectory(lookup func(string) string, variable, otherwise string) string {
	if first, _, _ := strings.Cut(lookup(variable), ":"); first != "" {
		return first
	}
	return otherwise
}
