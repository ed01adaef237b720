package main

import (
	"ssmonitor/internal/agent"
	"ssmonitor/internal/settings"
	"ssmonitor/output/control"
)

// The texts of the manual besides the help of the commands.

const aboutSettings = "Settings are read from `" + settings.DefaultFile + "` or the file of `--config`, in YAML. Each of these options " +
	"is a key. The command line takes precedence over the environment, and the environment over this file. " +
	"An unknown key is an error, which names its line and column. The value of a repeatable option is a list:\n\n" +
	"   interval: 5s\n" +
	"   port:\n" +
	"     - 20000=alice\n" +
	"     - 20001/tcp=bob"

type manualTerm struct{ name, text string }

// manualSections follow the commands and the settings.
var manualSections = []struct {
	title, text string
	terms       []manualTerm
}{
	{title: "FORMATS", text: formats},
	{title: "ENVIRONMENT", terms: []manualTerm{
		{"SSMONITOR_NAME", "the option --NAME in upper case, with _ for -: SSMONITOR_SAVE_INTERVAL is --save-interval. " +
			"A repeatable option takes its values separated by commas."},
		{"RUNTIME_DIRECTORY, STATE_DIRECTORY", "the directories of a systemd unit, used in place of " +
			settings.DefaultRuntime + " and " + settings.DefaultState + ". The option --state and the setting of that name come before STATE_DIRECTORY."},
		{"BOOT_ID", "the id of the boot, set by the systemd unit, from which it is hidden otherwise. By it `ssmonitor run` " +
			"knows that the clock was set while it was not running."},
		{"NETDATA_UPDATE_EVERY", "the seconds between two updates of Netdata, for `ssmonitor netdata`."},
		{"NETDATA_VERSION", "the version of Netdata. Before 1.32 it has no labels: the titles of the charts then name port and client."},
		{"LC_ALL, LC_CTYPE, LANG", "the locale, of which the first that is set counts. Without UTF-8, as in the locale C, which is also that " +
			"of an environment without these, text is printed in ASCII: bars as #, names with escapes such as \\u738b. Data, as CSV, JSON and the ruleset of setup --dry-run, are not changed; the comments of that are text."},
		{"JOURNAL_STREAM", "set by systemd; the log then has no timestamps, since the journal adds them."},
	}},
	{title: "FILES", terms: []manualTerm{
		{settings.DefaultFile, "the settings; optional"},
		{settings.DefaultList, "the list of ports, written by `ssmonitor setup`; one line per port, without passwords"},
		{settings.DefaultState + "/ssmonitor.db", "the totals and the usage, a SQLite database with the views clients, usage_hourly, " +
			"usage_daily and usage_monthly; other programs should only read it"},
		{settings.DefaultState + "/ssmonitor.backup.db", "its backup, written daily, when the agent ends and after client new"},
		{settings.DefaultRuntime + "/" + settings.CSVName, "the rates as CSV, removed when the agent ends"},
		{settings.DefaultRuntime + "/" + settings.SocketName, "the agent's socket, for members of the group " + agent.Group},
		{settings.DefaultRuntime + "/" + control.SocketName, "the agent's socket for root, beside the other one"},
	}},
	{title: "EXIT STATUS", terms: []manualTerm{
		{"0", "The command succeeded. For check: nothing that could be examined is wrong."},
		{"1", "The command failed; the error says what failed and what to do. For check: something is wrong."},
		{"2", "Wrong usage or an invalid configuration; nothing was changed."},
		{"3", "Of check alone: nothing wrong was found, but something could not be checked."},
	}},
}

const formats = "`CSV`: one line per port, sorted by number, without a header. The columns are port, packets in, packets out, " +
	"bytes in and bytes out, each per second over the last interval, TCP and UDP together. `In` is what clients send to the port. " +
	"The file is replaced atomically every interval and removed when the agent ends:\n\n" +
	"   20000,12.500,14.000,1834.221,98211.007\n\n" +
	"`JSON`: GET /v1/ports on the socket returns totals and rates per port and protocol, read from the kernel for this request. " +
	"Unknown values are omitted:\n\n" +
	"   {\"time\": \"2026-11-24T12:00:00.5Z\", \"interval_seconds\": 2,\n" +
	"    \"total\": {\"in\": {...}, \"out\": {...}},\n" +
	"    \"ports\": [{\"port\": 20000, \"name\": \"alice\",\n" +
	"      \"tcp\": {\"in\": {\"bytes\": 1834221, \"packets\": 2500,\n" +
	"                     \"bytes_per_second\": 1834.221,\n" +
	"                     \"packets_per_second\": 12.5},\n" +
	"              \"out\": {...}},\n" +
	"      \"udp\": {...}}]}\n\n" +
	"Bytes are counted from the IP header up, packets as the kernel sees them. " +
	"A total never decreases. GET /v1/usage takes the options of `ssmonitor usage` as parameters, such as " +
	"?by=day&client=alice, and returns what --format json prints. GET /healthz answers with status 200 while the counters can be read.\n\n" +
	"`Metrics`: GET /metrics on the socket, with --listen and with ssmonitor-metrics.socket answers in Prometheus' text format or in OpenMetrics:\n\n" +
	"   ssmonitor_port_bytes_total{port=\"20000\",name=\"alice\",\n" +
	"     proto=\"tcp\",direction=\"out\"} 98211007\n\n" +
	"The totals are those of a save, so that none is ever taken back. --textfile writes the same, without the metrics of the process."

const seeAlso = "**nft**(8), **systemd.service**(5), **ss-server**(1), **ss-manager**(1)\n\n" +
	"Winston Yin, \"Shadowsocks bandwidth monitoring with Netdata\", 2018: the setup with iptables rules and a script that ssmonitor replaces."
