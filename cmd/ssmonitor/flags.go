package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/urfave/cli/v2"

	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/configfile"
	"ssmonitor/internal/safeyaml"
	"ssmonitor/nft"
)

// Default paths and intervals.
const (
	defaultConfig   = "/etc/ssmonitor/config.yaml"
	noConfig        = "none" // --config none: no settings file
	defaultList     = "/etc/ssmonitor/ports"
	defaultRuntime  = "/run/ssmonitor"
	defaultState    = "/var/lib/ssmonitor"
	defaultInterval = 2 * time.Second
	defaultSave     = 10 * time.Second

	// In the runtime directory.
	csvName    = "ssmonitor.csv"
	socketName = "ssmonitor.sock"
)

func environment(flag string) []string {
	return []string{"SSMONITOR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

func configFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "config", EnvVars: environment("config"), TakesFile: true,
		Usage:       "read settings from the YAML `FILE`: each flag is a key, such as \"interval: 5s\"; none: no file",
		DefaultText: defaultConfig + ", if it exists",
	}
}

// sourceFlags returns the flags of setup, run and check for the ports and how to
// count them.
func sourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "shadowsocks", EnvVars: environment("shadowsocks"), TakesFile: true,
			Usage: "take the ports from a server's configuration: a `FILE or DIRECTORY`, repeatable",
		},
		&cli.StringSliceFlag{
			Name: "server-config", EnvVars: environment("server-config"), TakesFile: true,
			Usage: "like --shadowsocks, for a `FILE` that looks like a client's but is a server's, repeatable",
		},
		&cli.BoolFlag{
			Name: "any-protocol", EnvVars: environment("any-protocol"),
			Usage: "take the ports of every protocol from a configuration, not those of Shadowsocks alone",
		},
		&cli.StringSliceFlag{
			Name: "port", EnvVars: environment("port"),
			Usage: "count a port, or name one that a file gives: `PORT[-PORT][/tcp|/udp][@ADDRESS[:PORT]]...[=NAME]`, repeatable; after @: where the host forwards it",
		},
		&cli.StringFlag{
			Name: "ports", EnvVars: environment("ports"), Value: defaultList, TakesFile: true,
			Usage: "the `FILE` with the list of ports: setup writes it, run reads and follows it",
		},
		&cli.StringFlag{
			Name: "hook", EnvVars: environment("hook"), Value: string(nft.HookHost),
			Usage: "where to count: `host|container`; container: every port before addresses are translated, and before the firewall",
		},
		&cli.StringFlag{
			Name: "own", EnvVars: environment("own"), Value: string(nft.OwnNo),
			Usage: "whether the agent alone may change the table: `no|auto|yes` (Linux 6.9; a saved ruleset with an owned table does not load while the agent runs)",
		},
	}
}

func noSearchFlag() cli.Flag {
	return &cli.BoolFlag{
		Name: "no-search", EnvVars: environment("no-search"),
		Usage: "do not look for configurations in the usual places, nor for running servers",
	}
}

func stateFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "state", EnvVars: environment("state"), Value: defaultState, TakesFile: true,
		Usage: "keep the totals in `DIRECTORY`",
	}
}

// settings is the file of --config: every flag with an environment variable,
// except --config, has a key of the same name.
type settings struct {
	Shadowsocks  []string `yaml:"shadowsocks"`
	ServerConfig []string `yaml:"server-config"`
	AnyProtocol  bool     `yaml:"any-protocol"`
	NoSearch     bool     `yaml:"no-search"`
	Port         []string `yaml:"port"`
	Ports        string   `yaml:"ports"`
	Hook         string   `yaml:"hook"`
	Own          string   `yaml:"own"`
	Interval     string   `yaml:"interval"`
	CSV          *string  `yaml:"csv"`    // empty is a value: no file
	Socket       *string  `yaml:"socket"` // likewise
	Listen       string   `yaml:"listen"`
	WebConfig    string   `yaml:"web-config"`
	MetricsNames string   `yaml:"metrics-names"`
	Textfile     string   `yaml:"textfile"`
	State        string   `yaml:"state"`
	SaveInterval string   `yaml:"save-interval"`
	Zone         string   `yaml:"zone"`
	MonthDay     string   `yaml:"month-day"`
	KeepHours    string   `yaml:"keep-hours"`
	KeepDays     string   `yaml:"keep-days"`
	Warn         limits   `yaml:"warn"`
	Addresses    counts   `yaml:"addresses"`
	Charts       string   `yaml:"charts"`
}

// limits is the key warn: one limit for all clients, a list of the values of
// --warn, or a map of clients and their limits.
type limits []string

// counts is the key addresses, which has the same forms.
type counts []string

// UnmarshalYAML reads any of the three.
func (l *limits) UnmarshalYAML(unmarshal func(any) error) error {
	return l.read(unmarshal, "warn", "alice: 50GB")
}

// UnmarshalYAML reads any of the three.
func (c *counts) UnmarshalYAML(unmarshal func(any) error) error {
	return (*limits)(c).read(unmarshal, "addresses", "alice: 5")
}

func (l *limits) read(unmarshal func(any) error, key, example string) error {
	var one string
	if unmarshal(&one) == nil {
		*l = limits{one}
		return nil
	}
	if unmarshal((*[]string)(l)) == nil {
		return nil
	}
	var clients map[string]string
	if err := unmarshal(&clients); err != nil {
		return safeyaml.Invalid(fmt.Sprintf("key %s: want a limit, a list of limits, or a map of clients and limits, as in {%s}", key, example))
	}
	*l = nil
	for client, limit := range clients {
		*l = append(*l, client+"="+limit)
	}
	slices.Sort(*l)
	return nil
}

// values returns the values in the file by the names of their flags.
func (s *settings) values() map[string][]string {
	values := map[string][]string{"shadowsocks": s.Shadowsocks, "server-config": s.ServerConfig, "port": s.Port, "warn": s.Warn, "addresses": s.Addresses}
	for name, set := range map[string]bool{"any-protocol": s.AnyProtocol, "no-search": s.NoSearch} {
		if set {
			values[name] = []string{"true"}
		}
	}
	for name, value := range map[string]string{
		"ports": s.Ports, "hook": s.Hook, "own": s.Own, "interval": s.Interval,
		"listen": s.Listen, "web-config": s.WebConfig, "metrics-names": s.MetricsNames, "textfile": s.Textfile, "state": s.State, "save-interval": s.SaveInterval,
		"zone": s.Zone, "month-day": s.MonthDay, "keep-hours": s.KeepHours, "keep-days": s.KeepDays,
		"charts": s.Charts,
	} {
		if value != "" {
			values[name] = []string{value}
		}
	}
	for name, value := range map[string]*string{"csv": s.CSV, "socket": s.Socket} {
		if value != nil {
			values[name] = []string{*value}
		}
	}
	return values
}

// applyConfig sets the flags that neither the command line nor the environment
// sets to the values in the file, except for the keys to skip.
func applyConfig(c *cli.Context, skip ...string) error {
	path := c.String("config")
	if path == noConfig {
		return nil
	}
	data, err := configfile.Read(configPath(path), safeyaml.MaxSize)
	switch {
	case path == "" && errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return wrongUsage(fmt.Errorf("reading the settings: %w", err))
	}
	var s settings
	if err := safeyaml.Decode(data, &s, yaml.Strict()); err != nil {
		return wrongUsage(fmt.Errorf("reading the settings: %s: %w", configPath(path), err))
	}
	values := s.values()
	maps.DeleteFunc(values, func(name string, _ []string) bool {
		return !hasFlag(c, name) || c.IsSet(name) || slices.Contains(skip, name)
	})
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if want := settingFault(name, values[name]); want != "" {
			line, column := safeyaml.Position(data, name)
			return wrongUsage(fmt.Errorf("reading the settings: %s: line %d, column %d: key %s: want %s", configPath(path), line, column, name, want))
		}
	}
	for name, values := range values {
		for _, value := range values {
			if err := c.Set(name, value); err != nil {
				return wrongUsage(fmt.Errorf("reading the settings: %s: key %s can't be set", configPath(path), name))
			}
		}
	}
	return nil
}

func configPath(path string) string {
	if path == "" {
		return defaultConfig
	}
	return path
}

func hasFlag(c *cli.Context, name string) bool {
	return slices.ContainsFunc(c.Command.Flags, func(flag cli.Flag) bool {
		return slices.Contains(flag.Names(), name)
	})
}

// tableOptions returns how to count, from the flags.
func tableOptions(c *cli.Context) (nft.Options, error) {
	hook, err := nft.ParseHook(c.String("hook"))
	if err != nil {
		return nft.Options{}, wrongUsage(err)
	}
	own, err := nft.ParseOwn(c.String("own"))
	if err != nil {
		return nft.Options{}, wrongUsage(err)
	}
	return nft.Options{Hook: hook, Own: own}, nil
}

// portSources returns the ports and targets of --port and the files of --shadowsocks and
// --server-config.
func portSources(c *cli.Context) (sources.Sources, error) {
	s := sources.Sources{
		Shadowsocks: repeated(c, "shadowsocks"),
		Servers:     repeated(c, "server-config"),
		AnyProtocol: c.Bool("any-protocol"),
	}
	for _, spec := range repeated(c, "port") {
		ports, targets, err := portlist.ParseSpec(spec)
		if err != nil {
			return s, wrongUsage(err)
		}
		s.Ports, s.Targets = append(s.Ports, ports...), append(s.Targets, targets...)
	}
	return s, nil
}

// repeated returns the values of a repeatable flag. Only the environment
// variable, which can't be repeated, is split at commas.
func repeated(c *cli.Context, name string) []string {
	values := c.StringSlice(name)
	variable, found := os.LookupEnv(environment(name)[0])
	if !found || len(values) != 1 || values[0] != variable {
		return values
	}
	values = strings.Split(variable, ",")
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	return values
}

// runtimeDirectory is where the agent puts the CSV file and the socket.
func runtimeDirectory(lookup func(string) string) string {
	if directory := firstDirectory(lookup("RUNTIME_DIRECTORY")); directory != "" {
		return directory
	}
	return defaultRuntime
}

// firstDirectory returns the first of systemd's directories, which a colon
// separates.
func firstDirectory(list string) string {
	first, _, _ := strings.Cut(list, ":")
	return first
}

// stateDirectory returns --state, from the command line, the environment or the
// settings, or else the directory of the systemd unit. The settings come first: a
// command run by hand has no unit and must use the agent's directory.
func stateDirectory(c *cli.Context) string {
	if unit := firstDirectory(os.Getenv("STATE_DIRECTORY")); unit != "" && !c.IsSet("state") {
		return filepath.Clean(unit)
	}
	return filepath.Clean(c.String("state"))
}

// describeCount returns the number of ports in words.
func describeCount(ports int) string {
	if ports == 1 {
		return "1 port"
	}
	return fmt.Sprintf("%d ports", ports)
}
