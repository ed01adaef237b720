package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"ssmonitor/internal/checkup"
	"ssmonitor/internal/confine"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/setup"
)

// Exit statuses of check beyond those of every command.
const (
	exitUnknown        = 3 // something could not be checked, and nothing is wrong
	exitNagiosCritical = 2 // with --nagios, something is wrong
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "find out what is right and wrong, and what to do about it",
		Description: "check looks at everything that counting depends on: the settings, the kernel, " +
			"Shadowsocks' configurations and the list of ports, the table of counters and " +
			"what the rest of the firewall does to the packets, the agent with its socket " +
			"and its CSV file, Netdata, and what is left of a setup with iptables and a " +
			"script. It changes nothing. Each line begins with one of\n\n" +
			"   ok       as it should be\n" +
			"   note     worth knowing\n" +
			"   WRONG    does not work; the lines below say what to do\n" +
			"   unknown  could not be checked; the lines below say how to\n\n" +
			"Root can check everything, other users less. Give check the flags that setup " +
			"and run are started with, if any; those in the settings file are used anyway. " +
			"If that file can't be read or has a mistake, check reports every one and uses the " +
			"defaults in its place.\n\n" +
			"Every finding has an id that stays the same between versions: see --json.\n\n" +
			"Exit status: 0 nothing is wrong, 1 something is wrong, 2 wrong usage, " +
			"3 nothing wrong was found, but something could not be checked. " +
			"With --nagios: 0 OK, 2 CRITICAL or wrong usage, 3 UNKNOWN.\n\n" +
			"Examples:\n\n" +
			"   sudo ssmonitor check\n" +
			"   ssmonitor check --shadowsocks /etc/shadowsocks/config.json\n" +
			"   ssmonitor check --hook container\n" +
			"   ssmonitor check --quiet     for cron, which mails what it prints\n" +
			"   ssmonitor check --json | jq '.findings[] | select(.level == \"wrong\").id'",
		Flags: append(described(described(settingFlags(append(settings.PortKeys, "no-search", "state", "socket", "csv")...),
			"socket", askSocket), "csv", "the `FILE` that the agent writes the rates to; empty: none"),
			&cli.BoolFlag{Name: "quiet", Usage: "print only what is wrong or unknown: nothing if all is well"},
			&cli.BoolFlag{Name: "json", Usage: "print the findings as JSON"},
			&cli.BoolFlag{Name: "nagios", Usage: "print one line, and exit, as a Nagios plugin does"},
		),
		Action: runCheck,
	}
}

func runCheck(c *cli.Context) error {
	if err := confine.KeepOutOfDumps(); err != nil {
		return err
	}
	if c.Bool("json") && c.Bool("nagios") {
		return failure.Wrong(errors.New("--json and --nagios exclude each other: see ssmonitor check --help"))
	}
	loaded, settingsErr, err := loadInSpite(c, "interval", "textfile", "warn", "addresses") // of the agent
	if err != nil {
		return err
	}
	task := checkup.Check{
		Machine: checkup.ThisMachine(), Settings: loaded, SettingsErr: settingsErr,
		Sources: setup.Sources(loaded), Group: settings.Group,
	}
	findings := task.Run(c.Context)
	if err := writeFindings(c, findings); err != nil {
		return err
	}
	return statusOf(checkup.Result(findings), c.Bool("nagios"))
}

func writeFindings(c *cli.Context, findings []finding.Finding) error {
	quiet := c.Bool("quiet")
	switch {
	case c.Bool("nagios"):
		return checkup.WriteNagios(textWriter(c), findings)
	case c.Bool("json"):
		return checkup.WriteJSON(c.App.Writer, findings, quiet)
	case quiet:
		return checkup.WriteText(textWriter(c), checkup.Problems(findings))
	}
	if err := checkup.WriteText(textWriter(c), findings); err != nil {
		return err
	}
	return checkup.WriteSummary(textWriter(c), findings)
}

// statusOf returns the exit status of a check as an error, nil for 0.
func statusOf(result finding.Level, nagios bool) error {
	switch {
	case result == finding.Unknown:
		return exitCode(exitUnknown)
	case result == finding.Wrong && nagios:
		return exitCode(exitNagiosCritical)
	case result == finding.Wrong:
		return exitCode(exitFailed)
	}
	return nil
}
