package main

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/commandline"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/output/api"
	"ssmonitor/output/netdata"
)

// askSocket is what a reader's help says of the key socket.
const askSocket = "ask the agent on the unix socket `FILE`"

func netdataCommand() *cli.Command {
	return &cli.Command{
		Name:      "netdata",
		Usage:     "Netdata's external plugin: charts for every port",
		ArgsUsage: "[SECONDS]",
		Description: "netdata asks the agent on its socket every SECONDS seconds and prints charts in the protocol of " +
			"Netdata's external plugins. Netdata starts it when it finds the binary under the name " +
			netdata.PluginName + " in a directory of plugins, from Netdata 1.12 on. It needs no privilege except membership in the " +
			"socket's group, " + settings.Group + ".\n\n" +
			"With more ports than --charts, only those with the largest totals have charts of their own, and two " +
			"charts show the sum of the others. In Netdata's settings it is a command option: see " +
			"integration/netdata/netdata.conf.\n\n" +
			"Examples:\n\n" +
			"   ssmonitor netdata 1\n" +
			"   ln -s $(command -v ssmonitor) \\\n" +
			"      /usr/lib/netdata/plugins.d/" + netdata.PluginName + "\n" +
			"   adduser netdata " + settings.Group,
		// RUNTIME_DIRECTORY is not used: in a plugin it is that of Netdata's own unit.
		Flags:  described(settingFlagsBy(func(string) string { return "" }, "socket", "charts"), "socket", askSocket),
		Action: runPlugin,
	}
}

func runPlugin(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return commandline.Unexpected(c, c.Args().Get(1))
	}
	log := newLog(c.App.ErrWriter)
	loaded, fileErr, err := loadInSpite(c)
	if err != nil {
		return err
	}
	if fileErr != nil {
		// Netdata would disable a plugin that ends until its own restart.
		log.Error("the settings can't be used: using the defaults", "error", fileErr)
	}
	seconds, err := netdata.UpdateEvery(c.Args().First(), os.Getenv("NETDATA_UPDATE_EVERY"))
	if err != nil {
		return failure.Wrong(err)
	}
	if !reachesNetdata(os.Stdout) {
		return errors.New("stdout is closed or /dev/null: the plugin writes its charts there, to a pipe of Netdata's, which starts it")
	}
	// A write to a Netdata that has ended must be an error: Netdata would disable
	// a plugin that is killed by the signal.
	signal.Ignore(syscall.SIGPIPE)
	plugin := &netdata.Plugin{
		Agent:   api.NewClient(loaded.Socket),
		Seconds: seconds, MaxPorts: loaded.Charts,
		Stdin:   netdata.PluginStdin(os.Stdin),
		Stdout:  os.Stdout,
		Log:     log,
		Netdata: os.Getenv("NETDATA_VERSION"),
	}
	return plugin.Run(c.Context)
}

// reachesNetdata reports whether anybody can read what is written to the file. The runtime
// of Go opens /dev/null in place of a stdout that is closed.
func reachesNetdata(stdout *os.File) bool {
	info, err := stdout.Stat()
	if err != nil {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// pluginArguments returns the command line of the subcommand netdata if the
// binary was called by the plugin's name. Netdata passes the seconds, then the
// "command options" of its configuration.
func pluginArguments(arguments []string) []string {
	if len(arguments) == 0 || filepath.Base(arguments[0]) != netdata.PluginName {
		return arguments
	}
	rest := arguments[1:]
	if len(rest) > 0 && rest[0] != "" && rest[0][0] != '-' {
		// Flags go before arguments: urfave/cli stops at the first of these.
		rest = append(append([]string{}, rest[1:]...), rest[0])
	}
	return append([]string{arguments[0], "netdata"}, rest...)
}
