package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/sources"
	"ssmonitor/nft"
	"ssmonitor/output"
)

// agentPatience bounds how long the agent may take to answer.
const agentPatience = 5 * time.Second

// errChecked ends a check that found something wrong: its findings, which are
// printed, have said what.
var errChecked = errors.New("something is wrong here: what, and what to do, is said above")

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "what is right and wrong here, each with what to do",
		Description: "check looks at all that the counting needs: the kernel, Shadowsocks' configurations and the list of\n" +
			"ports, the table of counters and what the rest of the firewall does to the packets, the agent with\n" +
			"its socket and its CSV file, Netdata, and what is left of a set-up with iptables and a script.\n" +
			"It changes nothing. Each line begins with one of\n\n" +
			"   ok       as it should be\n" +
			"   note     worth knowing\n" +
			"   WRONG    does not work; the lines below it say what to do\n" +
			"   unseen   could not be looked at; the lines below it say how to see it\n\n" +
			"Root sees everything, anybody else less. Give check the flags that setup and run are started with,\n" +
			"if any; those in the configuration file are taken over.\n\n" +
			"Exit status: 0 nothing that was seen is wrong, 1 something is, 2 wrong usage or configuration.\n\n" +
			"Examples:\n\n" +
			"   sudo ssmonitor check\n" +
			"   ssmonitor check --shadowsocks /etc/shadowsocks/config.json\n" +
			"   ssmonitor check --hook container",
		Flags: append(sourceFlags(), stateFlag(), configFlag(), socketFlag(),
			&cli.StringFlag{
				Name: "csv", EnvVars: environment("csv"), TakesFile: true,
				Value: filepath.Join(defaultRuntime, csvName),
				Usage: "the `FILE` that the agent writes the rates to; empty: none",
			},
		),
		Action: check,
	}
}

func check(c *cli.Context) error {
	if err := errors.Join(noArguments(c), applyConfig(c)); err != nil {
		return err
	}
	options, err := tableOptions(c)
	if err != nil {
		return err
	}
	from, err := portSources(c)
	if err != nil {
		return err
	}
	if len(from.Shadowsocks) == 0 {
		from.SearchRoot = "/"
	}
	looking := &checking{machine: checkup.ThisMachine(), options: options}
	looking.all(c, from)
	if err := checkup.Write(c.App.Writer, looking.findings); err != nil {
		return err
	}
	if checkup.HasWrong(looking.findings) {
		return errChecked
	}
	return nil
}

// checking gathers the findings.
type checking struct {
	machine  *checkup.Machine
	options  nft.Options
	findings []checkup.Finding

	running bool               // an agent does
	report  *accounting.Report // its answer, or nil
}

func (k *checking) add(findings ...checkup.Finding) { k.findings = append(k.findings, findings...) }

func (k *checking) say(level checkup.Level, what, do string) {
	k.add(checkup.Finding{Level: level, What: what, Do: do})
}

// all looks at one thing after the other, in the order in which one would mend
// them.
func (k *checking) all(c *cli.Context, from sources.Sources) {
	table := k.kernel()
	if table != nil {
		defer func() { _ = table.Close() }()
	}
	socket, csv := c.String("socket"), c.String("csv")
	k.agent(c.Context, stateDirectory(c), socket)
	k.ledger(stateDirectory(c))
	ports := k.ports(c.String("ports"), from)
	if table != nil {
		k.table(table, ports)
		k.neighbours(table, ports)
	}
	if socket != "" {
		k.add(k.machine.Socket(socket, socketGroup)...)
	}
	if csv != "" {
		k.add(k.machine.CSV(csv, k.interval(), k.running)...)
	}
	if socket != "" {
		k.add(k.machine.Netdata(socket, socketGroup)...)
	}
	k.add(k.machine.Leftovers(csv)...)
}

// agent finds out whether one runs: it answers on the socket, or holds the
// state.
func (k *checking) agent(ctx context.Context, state, socket string) {
	holder, holderErr := store.Holder(state)
	k.running = holder != nil && holder.Holder == "run"
	var askErr error
	if socket != "" {
		ctx, cancel := context.WithTimeout(ctx, agentPatience)
		defer cancel()
		k.report, askErr = output.NewClient(socket).Report(ctx)
		k.running = k.running || k.report != nil
	}
	switch {
	case k.report != nil:
		k.say(checkup.OK, fmt.Sprintf("the agent answers on %s: %s, last read %s ago", socket,
			describeCount(len(k.report.Ports)), time.Since(k.report.Time).Round(100*time.Millisecond)), "")
	case errors.Is(askErr, fs.ErrPermission):
		k.say(checkup.Unseen, "whether the agent answers on "+socket+": this user may not connect",
			checkup.AsRoot+"\nor add the user to the socket's group: usermod --append --groups "+socketGroup+" USER")
	case k.running && socket != "":
		k.say(checkup.Wrong, fmt.Sprintf("the agent, process %d, gives no answer on %s: %v", holder.PID, socket, askErr),
			"name the socket that it listens on with --socket\nor start it again: systemctl restart ssmonitor")
	case k.running:
		k.say(checkup.OK, fmt.Sprintf("the agent is running: process %d holds %s", holder.PID, state), "")
	case holder != nil:
		k.say(checkup.Note, fmt.Sprintf("process %d (ssmonitor %s) holds %s: the agent can't start before it ends", holder.PID, holder.Holder, state), "")
	case socket != "" && !errors.Is(askErr, output.ErrAgentAway):
		k.say(checkup.Wrong, askErr.Error(), "see its log: journalctl --unit ssmonitor")
	case errors.Is(holderErr, fs.ErrPermission) && socket == "":
		k.say(checkup.Unseen, "whether an agent is running: "+holderErr.Error(), checkup.AsRoot)
	case holderErr != nil && !errors.Is(holderErr, fs.ErrPermission):
		k.add(checkup.Failure(holderErr, "see that --state names the directory of the agent"))
	default:
		k.say(checkup.Wrong, "no agent is running: nothing is published, and the totals are not kept",
			"start it: systemctl enable --now ssmonitor (or, by hand, ssmonitor run)")
	}
}

// ledger verifies the database: its pages, and that usage is what the totals
// gained.
func (k *checking) ledger(state string) {
	problems, err := store.Check(state)
	switch {
	case errors.Is(err, fs.ErrNotExist): // nothing has been saved yet
	case errors.Is(err, fs.ErrPermission):
		k.say(checkup.Unseen, "whether the usage is complete: this user may not read "+state,
			checkup.AsRoot+"\nor add the user to the group: usermod --append --groups "+socketGroup+" USER")
	case err != nil:
		k.add(checkup.Failure(err, "restart the agent: it continues from its backup"))
	case len(problems) > 0:
		k.say(checkup.Wrong, "usage and totals differ: "+problems[0], "report this as an error of ssmonitor, with a copy of "+state)
	default:
		k.say(checkup.OK, "usage by hour, day and month agrees with the totals", "")
	}
}

// interval is the agent's, as far as it is known.
func (k *checking) interval() time.Duration {
	if k.report != nil && k.report.Interval > 0 {
		return k.report.Interval
	}
	return defaultInterval
}

// ports looks at where they come from and returns what is to be counted.
func (k *checking) ports(list string, from sources.Sources) accounting.Ports {
	if from.SearchRoot != "" && os.Geteuid() != 0 {
		k.say(checkup.Unseen, "configurations in directories that only root may look into", checkup.AsRoot)
	}
	found, err := sources.Follow(from).Load()
	k.add(checkup.Configurations(found, err)...)
	findings, ports := checkup.List(list, found.Ports, k.counted())
	k.add(findings...)
	return ports
}

// counted returns the ports of the agent that answered.
func (k *checking) counted() (ports accounting.Ports) {
	if k.report == nil {
		return nil
	}
	for _, port := range k.report.Ports {
		ports = append(ports, port.Port)
	}
	return ports
}
