package compare_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

var (
	full      = flag.Bool("full", false, "measure; otherwise everything runs once, to see that it works")
	portsFlag = flag.String("ports", "3,100,1000,10000,65535", "measure with these `NUMBERS` of ports")
	tickPorts = flag.String("tick-ports", "3,1000,10000", "measure ticks with these `NUMBERS` of ports; empty: none")
	rounds    = flag.Int("rounds", 15, "measure at most this `NUMBER` of rounds with each number of ports")
	budget    = flag.Duration("budget", 30*time.Second, "begin no round with a number of ports after this `TIME`")
	limit     = flag.Duration("limit", 20*time.Second, "leave out an alternative that takes longer than this `TIME` to install or to read")
	ticks     = flag.Int("ticks", 10, "measure this `NUMBER` of ticks")
	interval  = flag.Duration("interval", 2*time.Second, "pause for this `TIME` between ticks")
	directory = flag.String("directory", "", "write results to this `DIRECTORY`")
	update    = flag.Bool("readme", false, "update nft/README.md and the files next to this one")

	libraryReader = flag.Bool("library-reader", false, "used by the test itself")
)

func TestMain(m *testing.M) {
	os.Exit(testkit.Sandbox{Prepare: build}.Main(m))
}

// build builds the agent that is measured.
func build(directory string) error {
	command := exec.Command("go", "build", "-ldflags", "-s -w", "-o", directory+"/", "ssmonitor/cmd/ssmonitor")
	command.Dir = "../.." // the module with the sums of what the binary needs
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building ssmonitor: %w\n%s", err, output)
	}
	return nil
}

// comparison is what has been measured so far.
type comparison struct {
	results
	began time.Time
	limit time.Duration
	// tooSlow holds the number of ports with which an alternative exceeded the
	// limit in a measure: it is not tried again with as many or more.
	tooSlow map[string]int
}

func TestCompare(t *testing.T) {
	if *full {
		t.Setenv("CI", "true") // who wants figures is told what is missing
	}
	testkit.RequireRoot(t, "the comparison")
	testkit.Require(t, "nft", "iptables-legacy-restore", "iptables-nft-restore", python)
	if !*full {
		*portsFlag, *tickPorts, *rounds, *ticks, *interval = "3,100", "3", 1, 2, 200*time.Millisecond
	}
	if *update {
		cutREADME(t) // fails before the measuring
	}
	c := &comparison{began: time.Now(), limit: *limit, tooSlow: make(map[string]int)}
	c.machine = describeMachine(t)
	for _, ports := range numbers(t, *portsFlag) {
		began := time.Now()
		for round := range *rounds {
			if time.Since(began) > *budget {
				break
			}
			c.progress("%d ports, round %d of at most %d", ports, round+1, *rounds)
			for _, a := range alternatives {
				t.Run(fmt.Sprintf("%s/%d", a.name, ports), func(t *testing.T) { c.measure(t, a, ports, round) })
			}
		}
	}
	for _, ports := range numbers(t, *tickPorts) {
		c.progress("%d ports, %d ticks of the whole agent and the scripts", ports, *ticks)
		c.measureTicks(t, ports)
	}
	if t.Failed() {
		return
	}
	where := *directory
	if where == "" {
		where = t.TempDir()
	}
	c.write(t, where)
	if err := os.WriteFile(filepath.Join(where, "table.md"), []byte(section(&c.results)), 0o644); err != nil {
		t.Fatal(err)
	}
	if *update {
		c.publish(t)
	}
	c.progress("done: %s", filepath.Join(where, "{table.md,results.csv,packets.svg,readings.svg}"))
	if !*full {
		c.checkComplete(t)
	}
}

// progress is written to stderr directly: the output of a test comes at its end.
func (c *comparison) progress(format string, args ...any) {
	if *full {
		fmt.Fprintf(os.Stderr, "%4.0f s: %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

// measure runs one round of an alternative in a namespace of its own, which ends
// with the test.
func (c *comparison) measure(t *testing.T, a alternative, ports, round int) {
	add := func(measure string, value float64, err error) bool {
		return c.add(t, row{measure, a.name, ports, round, value, ""}, err)
	}
	if !c.worthTrying(installing, a.name, ports) {
		return
	}
	testkit.NetworkNamespace(t)
	var path *trafficPath
	var base float64
	if a.measures(perPacket) {
		path = newTrafficPath(t)
		base = path.round(t)
	}
	if a.measures(other) {
		if err := addOtherTable(c.limit); err != nil {
			t.Fatal(err)
		}
		if a.name == ssmonitor {
			took, err := measureCommand(c.limit)
			c.add(t, row{other, nothing, ports, round, took, ""}, err)
		}
	}
	began := time.Now()
	err := a.install(t, ports, c.limit)
	took := float64(time.Since(began))
	switch {
	case err != nil || a.measures(installing):
		if !add(installing, took, err) {
			return
		}
	}
	if path != nil {
		add(perPacket, path.round(t)-base, nil)
		if a.name == ssmonitor {
			c.add(t, row{perPacket, noRules, ports, round, base, ""}, nil)
		}
	}
	if a.read != nil && c.worthTrying(reading, a.name, ports) {
		figures, err := a.read(t, ports, c.limit)
		add(reading, figures.Nanoseconds, err)
		if err == nil {
			a.checkCounted(t, figures, ports, path)
		}
	}
	if a.measures(other) && c.worthTrying(other, a.name, ports) {
		took, err := measureCommand(c.limit)
		add(other, took, err)
	}
}

func (a alternative) checkCounted(t *testing.T, got figures, ports int, path *trafficPath) {
	t.Helper()
	if got.Ports != ports {
		t.Errorf("%s read %d ports, want %d", a.name, got.Ports, ports)
	}
	if path != nil && got.Packets != 2*path.counted {
		t.Errorf("%s counted %d packets, want %d at each of two hooks", a.name, got.Packets, path.counted)
	}
}

// add records a figure, or that there is none because the alternative is too
// slow, and reports whether there is one. Any other error fails the test.
func (c *comparison) add(t *testing.T, r row, err error) bool {
	t.Helper()
	if err != nil {
		if _, slow := errors.AsType[tooSlow](err); !slow {
			t.Fatalf("%s, %s, %d ports: %v", r.alternative, r.measure, r.ports, err)
		}
		c.tooSlow[r.measure+r.alternative] = r.ports
		r.value, r.note = 0, err.Error()
	}
	c.rows = append(c.rows, r)
	return err == nil
}

func (c *comparison) worthTrying(measure, alternative string, ports int) bool {
	failed, tried := c.tooSlow[measure+alternative]
	return !tried || ports < failed
}

// checkComplete checks that a run without -full has measured everything.
func (c *comparison) checkComplete(t *testing.T) {
	t.Helper()
	for _, g := range groups {
		for _, alternative := range g.alternatives {
			if values := c.values(g.measure, alternative, 3); len(values) != 1 {
				t.Errorf("%s of %s: got %v, want one figure", g.title, alternative, values)
			}
		}
	}
}

func numbers(t *testing.T, text string) (numbers []int) {
	t.Helper()
	for field := range strings.SplitSeq(text, ",") {
		if field == "" {
			continue
		}
		number, err := strconv.Atoi(field)
		if err != nil || number < 3 || number > 65535 {
			t.Fatalf("number of ports %q: want 3 to 65535", field)
		}
		numbers = append(numbers, number)
	}
	return numbers
}
