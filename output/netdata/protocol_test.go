package netdata

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// The bounds of Netdata before 1.37, the strictest one we serve: PLUGINSD_LINE_MAX and
// others.
const (
	mostWords   = 20
	longestLine = 1024
	longestID   = 200
)

// netdata reads the plugin protocol as strictly as its most delicate reader
// would have it: what is an error here makes some Netdata disable the plugin,
// lose a value or crash.
type netdata struct {
	charts map[string]*netdataChart
	old    bool          // before 1.32, which doesn't know labels
	gaps   int           // dimensions without a value since the last BEGIN
	scope  *netdataChart // of CLABEL, DIMENSION: the last CHART; of SET: the last BEGIN
	inside string        // the keyword that opened the scope
	labels bool          // some are not committed
}

type netdataChart struct {
	title, units, family, context, kind string
	every                               string
	priority                            int
	obsolete                            bool
	labels, pending                     map[string]string
	dimensions                          map[string]dimension
	updates                             []chartUpdate
}

type dimension struct {
	algorithm           string
	multiplier, divisor int
}

// chartUpdate is one BEGIN to END.
type chartUpdate struct {
	microseconds int64 // 0: none given
	values       map[string]int64
}

func newNetdata() *netdata { return &netdata{charts: make(map[string]*netdataChart)} }

// feed reads whole lines.
func (n *netdata) feed(t *testing.T, text string) {
	t.Helper()
	if text != "" && !strings.HasSuffix(text, "\n") {
		t.Fatalf("the last line of %q is not ended", text)
	}
	for line := range strings.Lines(text) {
		if err := n.line(strings.TrimSuffix(line, "\n")); err != nil {
			t.Fatalf("Netdata would not take %q: %v", line, err)
		}
	}
}

func (n *netdata) line(line string) error {
	if len(line)+1 >= longestLine {
		return fmt.Errorf("%d bytes are too long", len(line))
	}
	words, err := splitWords(line)
	if err != nil || len(words) == 0 {
		return err
	}
	if len(words) > mostWords {
		return fmt.Errorf("%d words are too many", len(words))
	}
	keyword, words := words[0], words[1:]
	if n.old && strings.HasPrefix(keyword, "CLABEL") {
		return errors.New("the keyword is not known: the plugin is disabled")
	}
	if n.labels && keyword != "CLABEL" && keyword != "CLABEL_COMMIT" {
		return errors.New("labels are not committed")
	}
	switch keyword {
	case "CHART":
		return n.chart(words)
	case "CLABEL":
		return n.label(words)
	case "CLABEL_COMMIT":
		return n.commit(words)
	case "DIMENSION":
		return n.dimension(words)
	case "BEGIN":
		return n.begin(words)
	case "SET":
		return n.set(words)
	case "END":
		return n.end(words)
	}
	return errors.New("the keyword is not one of the portable ones")
}

func (n *netdata) chart(words []string) error {
	if n.inside == "BEGIN" {
		return errors.New("inside BEGIN")
	}
	if len(words) != 12 {
		return fmt.Errorf("%d words, want all 12", len(words))
	}
	id := words[0]
	if before, after, found := strings.Cut(id, "."); !found || before == "" || after == "" || len(id) > longestID ||
		strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789_.") != "" {
		return fmt.Errorf("%q is not a good type.id", id)
	}
	chart := n.charts[id]
	if chart == nil {
		chart = &netdataChart{dimensions: make(map[string]dimension)}
		n.charts[id] = chart
	}
	chart.title, chart.units, chart.family, chart.context, chart.kind = words[2], words[3], words[4], words[5], words[6]
	chart.every = words[8]
	var err error
	if chart.priority, err = strconv.Atoi(words[7]); err != nil {
		return err
	}
	if every, err := strconv.Atoi(chart.every); err != nil || every < 1 {
		return fmt.Errorf("the chart is updated every %q seconds", chart.every)
	}
	if words[9] != "" && words[9] != "obsolete" {
		return fmt.Errorf("unknown options %q", words[9])
	}
	if chart.title == "" || chart.units == "" || chart.family == "" || chart.context == "" {
		return errors.New("what is empty would not be changed")
	}
	if chart.kind != "area" && chart.kind != "line" {
		return fmt.Errorf("unknown type %q", chart.kind)
	}
	chart.obsolete = words[9] == "obsolete"
	chart.pending = make(map[string]string)
	n.scope, n.inside = chart, "CHART"
	return nil
}

func (n *netdata) label(words []string) error {
	if n.inside != "CHART" {
		return errors.New("outside of a chart: Netdata 1.37 crashes")
	}
	if len(words) != 3 {
		return errors.New("a label has name, value and source: Netdata 1.37 crashes")
	}
	if words[1] == "" || words[2] != "1" {
		return errors.New("an empty value, or a source other than auto")
	}
	n.scope.pending[words[0]] = words[1]
	n.labels = true
	return nil
}

func (n *netdata) commit(words []string) error {
	if !n.labels || len(words) != 0 {
		return errors.New("a commit stands alone and after labels")
	}
	n.scope.labels, n.labels = n.scope.pending, false
	return nil
}

func (n *netdata) dimension(words []string) error {
	if n.inside != "CHART" {
		return errors.New("outside of a chart")
	}
	if len(words) != 5 {
		return fmt.Errorf("%d words, want 5", len(words))
	}
	multiplier, err := strconv.Atoi(words[3])
	if err != nil || multiplier == 0 {
		return fmt.Errorf("the multiplier is %q", words[3])
	}
	divisor, err := strconv.Atoi(words[4])
	if err != nil || divisor < 1 {
		return fmt.Errorf("the divisor is %q", words[4])
	}
	if words[2] != "incremental" && words[2] != "absolute" {
		return fmt.Errorf("unknown algorithm %q", words[2])
	}
	n.scope.dimensions[words[0]] = dimension{words[2], multiplier, divisor}
	return nil
}

func (n *netdata) begin(words []string) error {
	if n.inside == "BEGIN" {
		return errors.New("inside BEGIN")
	}
	if len(words) != 1 && len(words) != 2 {
		return errors.New("want an id and at most the microseconds")
	}
	chart := n.charts[words[0]]
	if chart == nil || chart.obsolete {
		return errors.New("the chart does not exist")
	}
	begun := chartUpdate{values: make(map[string]int64)}
	if len(words) == 2 {
		if len(chart.updates) == 0 {
			return errors.New("microseconds since an update that there never was")
		}
		var err error
		if begun.microseconds, err = strconv.ParseInt(words[1], 10, 64); err != nil || begun.microseconds < 1 {
			return fmt.Errorf("%q microseconds", words[1])
		}
	}
	chart.updates = append(chart.updates, begun)
	n.scope, n.inside = chart, "BEGIN"
	return nil
}

func (n *netdata) set(words []string) error {
	if n.inside != "BEGIN" {
		return errors.New("outside of BEGIN")
	}
	if len(words) != 2 {
		return fmt.Errorf("%d words, want id and value", len(words))
	}
	dimension, found := n.scope.dimensions[words[0]]
	if !found {
		return errors.New("the dimension does not exist")
	}
	if words[1] == "" {
		n.gaps++
		return nil
	}
	value, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || strconv.FormatInt(value, 10) != words[1] {
		return errors.New("the value is not plain decimal within int64")
	}
	updates := n.scope.updates
	if before := len(updates) - 2; dimension.algorithm == "incremental" && before >= 0 && value < updates[before].values[words[0]] {
		return fmt.Errorf("the total falls from %d: Netdata may take it for an overflow", updates[before].values[words[0]])
	}
	updates[len(updates)-1].values[words[0]] = value
	return nil
}

func (n *netdata) end(words []string) error {
	if n.inside != "BEGIN" || len(words) != 0 {
		return errors.New("outside of BEGIN, or with arguments")
	}
	last := len(n.scope.updates) - 1
	switch set := len(n.scope.updates[last].values); {
	case n.gaps == len(n.scope.dimensions) && set == 0:
		n.scope.updates = n.scope.updates[:last]
	case n.gaps > 0 || set != len(n.scope.dimensions):
		return fmt.Errorf("%d of %d dimensions have a value, %d a gap", set, len(n.scope.dimensions), n.gaps)
	}
	n.scope, n.inside, n.gaps = nil, "", 0
	return nil
}

// splitWords splits as Netdata does, and refuses what it would not split as
// meant: separators are blank, tab and =, a word that begins with a quote goes
// to the next one, and there are no escapes.
func splitWords(line string) ([]string, error) {
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return nil, errors.New("control characters or broken UTF-8")
	}
	if strings.Contains(line, `\`) {
		return nil, errors.New("a backslash")
	}
	const separators = " \t="
	var words []string
	for rest := strings.TrimLeft(line, separators); rest != ""; rest = strings.TrimLeft(rest, separators) {
		var word string
		if quote := rest[:1]; quote == "'" || quote == `"` {
			var closed bool
			if word, rest, closed = strings.Cut(rest[1:], quote); !closed {
				return nil, errors.New("a quote is not closed")
			}
			if rest != "" && !strings.ContainsAny(rest[:1], separators) {
				return nil, errors.New("something follows a closing quote at once")
			}
		} else {
			end := strings.IndexAny(rest, separators)
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], rest[end:]
			if strings.ContainsAny(word, `'"`) {
				return nil, errors.New("a quote inside a word")
			}
		}
		words = append(words, word)
	}
	return words, nil
}

// last returns the last update of a chart.
func (n *netdata) last(t *testing.T, id string) chartUpdate {
	t.Helper()
	chart := n.charts[id]
	if chart == nil || len(chart.updates) == 0 {
		t.Fatalf("the chart %s has no values", id)
	}
	return chart.updates[len(chart.updates)-1]
}

func TestTheStrictParserIsStrict(t *testing.T) {
	const chart = "CHART 'a.b' '' 't' 'u' 'f' 'c' 'line' '1' '1' '' 'p' 'm'\n"
	const whole = chart + "DIMENSION 'x' 'x' 'incremental' '1' '1'\n"
	for _, text := range []string{
		"NONSENSE", "# comment", "HOST ''", "CHART 'a.b'", "CHART 'it's' '' '' '' '' '' '' '' '' '' '' ''",
		"CLABEL 'a' 'b' '1'", "CLABEL_COMMIT", "DIMENSION 'x' 'x' 'incremental' '1' '1'", "BEGIN 'a.b'", "SET 'x' = 1", "END",
		chart + "CLABEL 'port' '1'", chart + "CLABEL 'port' '1' '1'\nBEGIN 'a.b'", chart + "BEGIN 'a.b'\nBEGIN 'a.b'",
		whole + "BEGIN 'a.b' 1000000", whole + "BEGIN 'a.b'\nEND", whole + "BEGIN 'a.b'\nSET 'y' = 1",
		whole + "BEGIN 'a.b'\nSET 'x' = 012", whole + "BEGIN 'a.b'\nSET 'x' = 1.5", whole + "BEGIN 'a.b'\nSET 'x' = ",
		whole + "BEGIN 'a.b'\nSET 'x' = 2\nEND\nBEGIN 'a.b'\nSET 'x' = 1",
		"SET 'a" + strings.Repeat("x", longestLine) + "' = 1", strings.Repeat("'x' ", mostWords+1), "BEGIN 'a\\'b'", "BEGIN 'a.b",
	} {
		read := newNetdata()
		var err error
		for line := range strings.Lines(text) {
			if err = read.line(strings.TrimSuffix(line, "\n")); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	words, err := splitWords(`SET  'a =b'=12 "it's" ''`)
	if err != nil || !slices.Equal(words, []string{"SET", "a =b", "12", "it's", ""}) {
		t.Errorf("split into %q, %v", words, err)
	}
	newNetdata().feed(t, whole+"\n\t\nBEGIN 'a.b'\nSET 'x' = "+strconv.Itoa(math.MaxInt64)+"\nEND\nBEGIN 'a.b' 1\nSET 'x' = "+strconv.Itoa(math.MaxInt64)+"\nEND\n")
}
