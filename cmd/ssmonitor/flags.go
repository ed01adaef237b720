package main

import (
	"flag"
	"os"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/settings"
)

// settingFlag is the flag of a setting. It only collects what the command line gives: the
// environment, the file and the defaults are for [settings.Inputs].
type settingFlag struct {
	settings.Key
	given  []string
	former settingValues // given under the former name
	hidden bool          // from the help
}

// settingValues are the values of a flag that only another name of it has.
type settingValues []string

func (v *settingValues) String() string { return "" }

func (v *settingValues) Set(value string) error {
	*v = append(*v, value)
	return nil
}

var (
	_ cli.DocGenerationFlag = (*settingFlag)(nil)
	_ cli.VisibleFlag       = (*settingFlag)(nil)
)

// settingFlags returns the flags of the settings with the names, and --config.
func settingFlags(names ...string) []cli.Flag { return settingFlagsBy(os.Getenv, names...) }

// settingFlagsBy is settingFlags for a command to which the directories of a systemd
// unit may mean nothing.
func settingFlagsBy(lookup func(string) string, names ...string) (flags []cli.Flag) {
	for _, key := range settings.Keys(lookup, names...) {
		flags = append(flags, &settingFlag{Key: key})
	}
	return append(flags, &settingFlag{Key: settings.Config})
}

// described changes what the help of a command says of a setting.
func described(flags []cli.Flag, name, usage string) []cli.Flag {
	for _, option := range flags {
		if own, ok := option.(*settingFlag); ok && own.Name == name {
			own.Usage = usage
		}
	}
	return flags
}

// hidden returns the flags of the settings with the names for a command that has no use for
// them, and says so.
func hidden(names ...string) (flags []cli.Flag) {
	for _, key := range settings.Keys(os.Getenv, names...) {
		flags = append(flags, &settingFlag{Key: key, hidden: true})
	}
	return flags
}

func (f *settingFlag) Apply(set *flag.FlagSet) error {
	set.Var(f, f.Name, f.Usage)
	if f.Former != "" {
		set.Var(&f.former, f.Former, f.Usage)
	}
	return nil
}

func (f *settingFlag) Set(value string) error {
	f.given = append(f.given, value)
	return nil
}

func (f *settingFlag) IsVisible() bool        { return !f.hidden }
func (f *settingFlag) IsBoolFlag() bool       { return f.Switch }
func (f *settingFlag) Names() []string        { return []string{f.Name} }
func (f *settingFlag) IsSet() bool            { return f.given != nil }
func (f *settingFlag) String() string         { return "--" + f.Name }
func (f *settingFlag) TakesValue() bool       { return !f.Switch }
func (f *settingFlag) GetUsage() string       { return f.Usage }
func (f *settingFlag) GetValue() string       { return f.Default }
func (f *settingFlag) GetDefaultText() string { return f.DefaultText }
func (f *settingFlag) GetEnvVars() []string   { return []string{f.Variable()} }
func (f *settingFlag) IsSliceFlag() bool      { return f.Repeatable }

// inputs returns where the settings of the running command are given. The command has no
// flags for those with further names.
func inputs(c *cli.Context, further ...string) settings.Inputs {
	s := settings.Inputs{
		Keys: settings.Keys(os.Getenv, further...), Flags: make(map[string][]string),
		Environment: os.LookupEnv, File: os.Getenv(settings.Config.Variable()),
	}
	for _, option := range c.Command.Flags {
		own, ok := option.(*settingFlag)
		switch {
		case !ok:
		case own.Name != settings.Config.Name:
			s.Keys = append(s.Keys, own.Key)
			if own.IsSet() {
				s.Flags[own.Name] = own.given
			}
			if own.former != nil {
				s.Flags[own.Former] = own.former
			}
		case own.IsSet():
			s.File = own.given[len(own.given)-1]
		}
	}
	return s
}

// loadInSpite returns the settings of the running command. If only the settings file is
// wrong, that is fileErr, and the settings are those without what is wrong there.
func loadInSpite(c *cli.Context, further ...string) (loaded *settings.Settings, fileErr, err error) {
	loaded, err = inputs(c, further...).Load()
	if loaded == nil {
		return nil, nil, err
	}
	return loaded, err, nil
}
