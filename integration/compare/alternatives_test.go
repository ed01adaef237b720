package compare_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/nft"
)

// What is measured.
const (
	perPacket  = "packet"     // nanoseconds that the rules add to a packet at both hooks
	reading    = "reading"    // processor time of all processes, in nanoseconds
	installing = "installing" // nanoseconds until the rules are in force
	other      = "other"      // nanoseconds of a small nft command that has nothing to do with the counting
	perTick    = "tick"       // processor time of all processes, in nanoseconds
	resident   = "resident"   // memory of the agent or the script, in bytes
	anonymous  = "anonymous"  // memory that is no part of a file, in bytes
)

// The names of the alternatives.
const (
	ssmonitor     = "ssmonitor"
	noRules       = "no rules: the packet itself"
	plainCounter  = "one plain counter"
	nothing       = "an empty ruleset"
	legacyScript  = "iptables-legacy and a script"
	nftScript     = "iptables-nft and a script"
	counterScript = "nft rules and a script"
	bareDump      = "the bare kernel dump"
	library       = "google/nftables GetObjects"
	nftFile       = "`nft -f` of the same table"
)

// alternative is a way to count.
type alternative struct {
	name string
	// of are the measures that make sense, next to reading.
	of string
	// install puts rules for the ports into force. It fails with tooSlow if that
	// takes longer than limit.
	install func(t *testing.T, ports int, limit time.Duration) error
	// read measures readings. It fails like install.
	read func(t *testing.T, ports int, limit time.Duration) (figures, error)
}

func (a alternative) measures(measure string) bool { return strings.Contains(a.of, measure) }

// figures are what a reader measured.
type figures struct {
	Nanoseconds         float64 // of all processes, for a reading
	Ports               int
	Packets             int     // all counters together
	Resident, Anonymous float64 // memory in bytes
}

// alternatives are in the order in which a round measures them. The rules of
// iptables and nft count one protocol, as usual with them; ssmonitor counts two.
var alternatives = []alternative{
	{name: ssmonitor, of: perPacket + installing + other, install: installTable, read: readTable},
	{name: plainCounter, of: perPacket, install: installPlainCounter},
	{name: legacyScript, of: perPacket + installing + other, install: iptablesRules("iptables-legacy"), read: script("iptables-legacy")},
	{name: nftScript, of: perPacket + installing + other, install: iptablesRules("iptables-nft"), read: script("iptables-nft")},
	{name: counterScript, of: perPacket + installing + other, install: nftRules, read: script("nft")},
	{name: bareDump, install: installTable, read: readBare},
	{name: library, install: installTable, read: readLibrary},
	{name: nftFile, of: installing, install: installFile},
}

// firstPort is the first counted port. If there are more than 45,536, they
// continue at 1.
const firstPort = 20000

// portNumbers returns n ports in the order in which they are counted.
func portNumbers(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = 1 + (firstPort-1+i)%65535
	}
	return numbers
}

func portList(n int) accounting.Ports {
	var ports accounting.Ports
	for _, number := range portNumbers(n) {
		ports = append(ports, accounting.Port{Number: uint16(number), Protocols: accounting.TCPAndUDP})
	}
	ports, _ = accounting.Union(ports)
	return ports
}

func openTable(t *testing.T) *nft.Table {
	t.Helper()
	table, err := nft.Open(nft.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

func installTable(t *testing.T, ports int, _ time.Duration) error {
	return openTable(t).Install(portList(ports))
}

func installFile(_ *testing.T, ports int, limit time.Duration) error {
	var text strings.Builder
	if err := nft.WriteRuleset(&text, nft.HookHost, portList(ports), accounting.Forwarding{}); err != nil {
		return err
	}
	return load(text.String(), limit, "nft", "-f", "-")
}

// addOtherTable creates a table of somebody else, which measureCommand changes.
func addOtherTable(limit time.Duration) error {
	return load("add table ip other\nadd chain ip other other\n", limit, "nft", "-f", "-")
}

// measureCommand measures a command that changes the other table. For most commands
// nft first has the kernel list the named objects of all tables.
func measureCommand(limit time.Duration) (nanoseconds float64, err error) {
	began := time.Now()
	err = load("add rule ip other other accept\n", limit, "nft", "-f", "-")
	return float64(time.Since(began)), err
}

func installPlainCounter(_ *testing.T, _ int, limit time.Duration) error {
	return load(`table inet plain {
		chain input { type filter hook input priority filter + 40; counter; }
		chain output { type filter hook output priority filter + 40; counter; }
	}`, limit, "nft", "-f", "-")
}

// nftRules creates a rule with a named counter per port and direction.
func nftRules(_ *testing.T, ports int, limit time.Duration) error {
	var counters, in, out strings.Builder
	for _, port := range portNumbers(ports) {
		fmt.Fprintf(&counters, "counter in-%d { }\ncounter out-%d { }\n", port, port)
		fmt.Fprintf(&in, "udp dport %d counter name in-%d\n", port, port)
		fmt.Fprintf(&out, "udp sport %d counter name out-%d\n", port, port)
	}
	return load("table inet rules {\n"+counters.String()+
		"chain input { type filter hook input priority filter + 40;\n"+in.String()+"}\n"+
		"chain output { type filter hook output priority filter + 40;\n"+out.String()+"}\n}\n", limit, "nft", "-f", "-")
}

// iptablesRules creates a rule per port and direction.
func iptablesRules(program string) func(*testing.T, int, time.Duration) error {
	return func(_ *testing.T, ports int, limit time.Duration) error {
		var rules strings.Builder
		fmt.Fprint(&rules, "*filter\n")
		for _, port := range portNumbers(ports) {
			fmt.Fprintf(&rules, "-A INPUT -p udp --dport %d\n-A OUTPUT -p udp --sport %d\n", port, port)
		}
		fmt.Fprint(&rules, "COMMIT\n")
		return load(rules.String(), limit, program+"-restore")
	}
}

func load(input string, limit time.Duration, words ...string) error {
	_, err := run(limit, input, words...)
	return err
}

// tooSlow is the error of what took longer than this limit.
type tooSlow time.Duration

func (e tooSlow) Error() string { return fmt.Sprintf("more than %g s", time.Duration(e).Seconds()) }

// run runs a program in the namespace of the calling thread and returns what it
// wrote to stdout. After the time limit the program is killed, with all that it
// has started.
func run(limit time.Duration, input string, words ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Stdin = strings.NewReader(input)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	output, err := command.Output()
	if ctx.Err() != nil {
		return nil, tooSlow(limit)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%s: %w: %.500s", words[0], err, exit.Stderr)
	}
	return output, err
}

// describeMachine returns the versions of what is measured.
func describeMachine(t *testing.T) string {
	t.Helper()
	version := func(place int, words ...string) string {
		output, err := run(*limit, "", words...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(strings.Fields(string(output))[place], "v")
	}
	kernel, _, _ := strings.Cut(version(0, "uname", "-r"), "-")
	return fmt.Sprintf("Linux %s, %d processors, nft %s, iptables %s, Python %s", kernel, runtime.NumCPU(),
		version(1, "nft", "--version"), version(1, "iptables-legacy", "--version"), version(1, python, "--version"))
}
