package endtoend_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
)

var administratorSeed = flag.Uint64("administrator-seed", 0, "repeat the moves of TestRandomAdministrator by the `seed` that it printed")

const (
	administratorDuration = 45 * time.Second // without -fault-duration
	administratorInterval = 400 * time.Millisecond
	administratorSave     = time.Second // as prepareTrial sets it

	// administratorGrace is added to every deadline: a busy machine delays
	// ticks, and a new table takes up to half a second.
	administratorGrace = time.Second
)

// administrator changes the ruleset under a counting agent in every way that
// nft offers, and compares the totals with the log of the traffic.
type administrator struct {
	*trial
	random   *rand.Rand
	right    string // the listing of the table as it should be
	sent     map[accounting.Key]accounting.Count
	counted  map[accounting.Key]accounting.Count // both at the last settlement
	unlisted signed                              // what the sum of all ports has beyond the listed ones
	inSeries bool                                // another move may be in the way
	refused  int                                 // moves that were in the way of each other
	figures  []*moveFigures                      // a row per kind of move

	ports      accounting.Ports // that are counted
	ownFlags   []string         // of the agent, without named targets
	elsewhere  namespace        // that the agent may visit
	published  publication      // by the rules
	named      publication      // by the flags
	moving     *move            // in progress, which adds what it may lose
	unattended bool             // no agent runs during the moves
}

// TestRandomAdministrator makes random moves until its time is up. After every
// round the table has to be correct within the ticks that the moves allow, and
// the totals may differ from the traffic only as far as the moves allow.
func TestRandomAdministrator(t *testing.T) {
	require(t)
	if testing.Short() {
		t.Skip("the random administrator takes a minute and a half")
	}
	seed := *administratorSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("repeat the moves with -administrator-seed %d", seed)
	until := time.Now().Add(max(*faultDuration, administratorDuration))
	tests := []struct {
		name  string
		round func(t *testing.T, a *administrator, m move)
	}{
		{"one move at a time", func(t *testing.T, a *administrator, m move) { a.round(t, m.name, false, m) }},
		{"moves combined", func(t *testing.T, a *administrator, m move) {
			switch down := a.random.IntN(3) == 0; {
			case !m.alone:
				a.round(t, "several moves at once", down, a.series(m)...)
			case !m.needsAgent:
				a.round(t, m.name+", no agent runs", true, m)
			}
		}},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // with the other one, on a machine that waits most of the time
			a := newAdministrator(t, rand.New(rand.NewPCG(seed, uint64(i))))
			t.Cleanup(func() { a.logFigures(t) })
			for time.Now().Before(until) {
				for _, m := range a.shuffledMoves() {
					if time.Now().After(until) {
						break
					}
					test.round(t, a, m)
				}
			}
			a.finish(t)
		})
	}
}

func newAdministrator(t *testing.T, random *rand.Rand) *administrator {
	t.Helper()
	var flags []string
	a := &administrator{random: random}
	for _, number := range []uint16{steadyPort, changedPort, publishedPorts[0], publishedPorts[1]} {
		a.ports = append(a.ports, accounting.Port{Number: number, Protocols: accounting.TCPAndUDP})
	}
	for _, number := range publishedPorts {
		flags = append(flags, "--port", fmt.Sprint(number))
	}
	a.trial = prepareTrial(t, administratorInterval, flags...)
	a.ownFlags = a.flags
	var containers namespace
	containers, a.elsewhere = addContainers(t, a.namespace, a.client)
	a.stream.echo(t, a.namespace, a.client, containers, publishedPorts[:], slices.Concat(publishedPorts[:], shiftedPorts[:]))
	a.configure(t, steadyPort, changedPort)
	a.agent = a.startAgent(t, a.flags...)
	eventually(t, a.verify)
	a.stream.resume()
	a.right = a.listing(t)
	a.rebase(t)
	return a
}

func (a *administrator) shuffledMoves() []move {
	moves := administratorMoves()
	a.random.Shuffle(len(moves), func(i, j int) { moves[i], moves[j] = moves[j], moves[i] })
	return moves
}

// series returns the move and one or two others. A move that removes the table is
// the last: additions after it would create a table that is not the agent's.
func (a *administrator) series(first move) []move {
	all := []move{first}
	removal := func(m move) int {
		if m.from == theLastReading {
			return 1
		}
		return 0
	}
	removals, size := removal(first), 2+a.random.IntN(2)
	for _, m := range a.shuffledMoves() {
		if len(all) < size && !m.alone && m.name != first.name && removals+removal(m) < 2 {
			all = append(all, m)
			removals += removal(m)
		}
	}
	slices.SortStableFunc(all, func(a, b move) int { return removal(a) - removal(b) })
	return all
}

// pass waits for a random part of the time.
func (a *administrator) pass(most time.Duration) {
	time.Sleep(time.Duration(a.random.Int64N(int64(most))))
}

// round makes the moves, waits for the repair and settles. A round that fails
// is reported, and the next one begins with a new table.
func (a *administrator) round(t *testing.T, name string, down bool, moves ...move) {
	t.Helper()
	var names []string
	var killed time.Time
	r := &round{moves: moves}
	ticks := 2
	for _, m := range moves {
		names = append(names, m.name)
		ticks = max(ticks, m.ticks)
		r.sinceReading = r.sinceReading || m.from == theLastReading
	}
	if r.sinceReading {
		// A counter that exceeds its old value before it is read hides that it
		// was reset, and a kill loses what was not saved.
		wait := 2 * administratorInterval
		if down {
			wait += administratorSave + administratorInterval
		}
		a.stream.waitFor(t, int(wait/streamPause))
	}
	a.pass(administratorInterval)
	r.read = a.report(t).Time
	a.pass(administratorInterval / 2)
	if down {
		names = append(names, "no agent runs")
		a.kill()
		killed = time.Now()
		r.read = killed.Add(-administratorSave - 2*administratorInterval) // saved for sure
	}
	a.inSeries, a.unattended = len(moves) > 1, down
	for i, m := range moves {
		a.moving = &moves[i]
		began := time.Now()
		m.do(t, a)
		r.made = append(r.made, moment{began, time.Now()})
	}
	if down && r.sinceReading { // nobody knows of connections that the container began
		a.between(t, func() { a.forgetConnections(t) })
	}
	if down {
		a.pass(administratorInterval)
		a.agent = a.startAgent(t, a.flags...)
		a.waitSaying(t, "counting") // a busy machine takes a while to start it
		r.down = time.Since(killed)
	}
	err := a.waitRight(t, r, time.Duration(ticks)*administratorInterval+administratorGrace)
	if err == nil {
		err = a.settle(t, a.row(name), r)
	}
	if err != nil {
		t.Errorf("%s: %v", strings.Join(names, ", "), err)
		a.startOver(t)
	}
}

// startOver makes the agent create a new table after a failed round.
func (a *administrator) startOver(t *testing.T) {
	t.Helper()
	a.mustRun(t)
	a.nft(t, "add table inet ssmonitor\ndelete table inet ssmonitor\n")
	eventually(t, func() error { return a.wrong(t) })
	a.rebase(t)
}

// waitRight waits until the table is correct, and records when it was last wrong
// and first correct.
func (a *administrator) waitRight(t *testing.T, r *round, limit time.Duration) error {
	t.Helper()
	a.mustRun(t)
	deadline := time.Now().Add(limit)
	for {
		asked := time.Now()
		err := a.wrongAtHost(t)
		if err != nil {
			r.wrong = asked
		} else if err = a.verify(); err == nil {
			r.right = time.Now()
			break
		}
		if asked.After(deadline) {
			return fmt.Errorf("after %s the table is not correct: %w", limit, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	a.report(t)
	r.readAgain = time.Now()
	return nil
}

// wrong compares the table with what it should be, as nft lists it and as a
// second socket verifies it.
func (a *administrator) wrong(t *testing.T) error {
	t.Helper()
	if err := a.wrongAtHost(t); err != nil {
		return err
	}
	return a.verify()
}

// wrongAtHost compares what counts the host's own packets.
func (a *administrator) wrongAtHost(t *testing.T) error {
	t.Helper()
	if got := a.listing(t); got != a.right {
		return errors.New("nft lists " + differences(a.right, got))
	}
	return a.table.Read(new(accounting.Sample))
}

// ruleComment is a comment of a rule or a chain: it changes nothing.
var ruleComment = regexp.MustCompile(`(\t\t| )comment "[^"]*"`)

// forwardPart is what counts where the host forwards packets. What it has depends on
// connections, so that it is compared by the second socket alone.
var forwardPart = regexp.MustCompile(`(?ms)^\t(map|set|chain) (forward-ip6?-(in|out)|host-ip6?) \{.*?^\t\}\n`)

// listing returns what nft lists of our table without the values, as sorted
// lines, since the kernel lists elements in any order.
func (n namespace) listing(t *testing.T) string {
	t.Helper()
	output, err := n.command("nft", "--stateless", "list", "table", "inet", "ssmonitor").CombinedOutput()
	if err != nil {
		return "no table" // or one that changes while it is listed
	}
	var lines []string
	for _, line := range strings.FieldsFunc(ruleComment.ReplaceAllString(forwardPart.ReplaceAllString(string(output), ""), ""), func(r rune) bool { return r == '\n' || r == ',' }) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "elements = {"))
		if line = strings.TrimSuffix(line, " }"); line != "" {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// differences lists the lines that only one of two sorted listings has.
func differences(want, got string) string {
	count := make(map[string]int)
	for line := range strings.Lines(want + "\n") {
		count[strings.TrimSpace(line)]++
	}
	for line := range strings.Lines(got + "\n") {
		count[strings.TrimSpace(line)]--
	}
	var missing, extra []string
	for line, n := range count {
		switch {
		case n > 0:
			missing = append(missing, line)
		case n < 0:
			extra = append(extra, line)
		}
	}
	slices.Sort(missing)
	slices.Sort(extra)
	return fmt.Sprintf("too little: %q, too much: %q", missing, extra)
}

// finish ends the agent and compares the totals with which the next one begins.
func (a *administrator) finish(t *testing.T) {
	t.Helper()
	a.endPublishing(t)
	a.stop(t)
	a.agent = a.startAgent(t, a.flags...)
	r := &round{right: time.Now(), readAgain: time.Now()}
	if err := a.settle(t, a.row("the end"), r); err != nil {
		t.Errorf("the last restart: %v", err)
	}
}
