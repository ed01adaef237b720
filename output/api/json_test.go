package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
)

func TestJSONIsTheDesignsForm(t *testing.T) {
	text := toText(t, sample.Report())
	testkit.Golden(t, "ports.json", text)
	if !json.Valid([]byte(text)) {
		t.Error("it is not JSON")
	}
}

func TestJSONKnowsNoRatesBeforeTheFirstInterval(t *testing.T) {
	report := &accounting.Report{Time: sample.Noon, Total: accounting.Traffic{In: sample.Flow(3, 120, 0, 0)}}
	testkit.Golden(t, "no_ports.json", toText(t, report))
}

func TestJSONIsReadAsItWasWritten(t *testing.T) {
	unrated := &accounting.Report{Time: sample.Noon, Ports: []accounting.PortReport{
		{Port: accounting.Port{Number: 1, Protocols: accounting.OnlyUDP}},
		{Port: accounting.Port{Number: 2, Protocols: accounting.TCPAndUDP}},
	}}
	for _, report := range []*accounting.Report{sample.Report(), unrated, sample.ManyPorts(300), {Time: sample.Noon}} {
		got, err := ReadReport(strings.NewReader(toText(t, report)))
		if err != nil {
			t.Fatal(err)
		}
		if difference := cmp.Diff(report, got); difference != "" {
			t.Errorf("(-written +read):\n%s", difference)
		}
	}
}

func TestJSONIsWrittenWithoutHoldingItAll(t *testing.T) {
	var writes measure
	if err := WriteReport(&writes, sample.ManyPorts(10000)); err != nil {
		t.Fatal(err)
	}
	if writes.longest > 16<<10 {
		t.Errorf("a single write has %d bytes", writes.longest)
	}
}

// measure has the sizes of what was written.
type measure struct{ longest, all int }

func (m *measure) Write(p []byte) (int, error) {
	m.longest, m.all = max(m.longest, len(p)), m.all+len(p)
	return len(p), nil
}

func BenchmarkJSON(b *testing.B) {
	report := sample.ManyPorts(10000)
	b.ReportAllocs()
	for b.Loop() {
		if err := WriteReport(io.Discard, report); err != nil {
			b.Fatal(err)
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	const head = `{"time":"2026-11-22T12:00:00Z","ports":`
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "unexpected EOF"},
		"a list":              {"[]", "want an object, got ["},
		"no time":             {`{"ports":[]}`, "no time"},
		"no ports":            {`{"time":"2026-11-22T12:00:00Z"}`, "no list of ports"},
		"ports as an object":  {head + `{}}`, "want a list of ports, got {"},
		"a broken time":       {`{"time":"noon","ports":[]}`, "noon"},
		"a negative interval": {head + `[],"interval_seconds":-1}`, "interval_seconds -1"},
		"an endless interval": {head + `[],"interval_seconds":1e300}`, "interval_seconds 1e+300"},
		"port 0":              {head + `[{"port":0}]}`, "port 0 after port 0"},
		"port 70000":          {head + `[{"port":70000}]}`, "70000"},
		"a port twice":        {head + `[{"port":1},{"port":1}]}`, "port 1 after port 1"},
		"a negative total":    {head + `[{"port":1,"tcp":{"in":{"bytes":-1}}}]}`, "-1"},
		"a negative rate":     {head + `[{"port":1,"udp":{"in":{"bytes":1},"out":{"bytes":1,"packets_per_second":-0.1}}}]}`, "port 1: want rates"},
		"a rate beyond links": {head + `[{"port":1,"tcp":{"in":{"bytes":1,"bytes_per_second":1e308},"out":{"bytes":1}}}]}`, "port 1: want rates"},
		"one direction":       {head + `[{"port":1,"tcp":{"in":{"bytes":1}}}]}`, "port 1: want the bytes of both directions"},
		"the other direction": {head + `[{"port":1,"udp":{"out":{"bytes":1}}}]}`, "port 1: want the bytes of both directions"},
		"an endless total":    {head + `[],"total":{"in":{"bytes_per_second":1e308}}}`, "total: want rates"},
		"no addresses":        {head + `[{"port":1,"connections":1}]}`, "port 1: want connections and addresses"},
		"negative addresses":  {head + `[{"port":1,"connections":1,"addresses":-1}]}`, "port 1: want connections and addresses"},
		"an answer cut short": {head + `[{"port":1},`, "unexpected EOF"},
		"no list but null":    {head + `null}`, "want a list of ports, got"},
		"more after it":       {head + `[]} {}`, "unexpected data"},
		"garbage after it":    {head + `[]} x`, "invalid character"},
		"more than the bound": {head + `[` + strings.Repeat(" ", 1000), "longer than 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readReport(strings.NewReader(c.text), 1000)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
			if errors.Is(err, io.EOF) {
				t.Error("the error looks like a normal end")
			}
		})
	}
}

func TestReadJSONTakesAllPortsThereAre(t *testing.T) {
	report := sample.ManyPorts(1000)
	for i := range report.Ports {
		report.Ports[i].Port.Number += 64000 // The longest numbers, and a long name.
		report.Ports[i].Port.Name = strings.Repeat("x", 100)
	}
	var written measure
	if err := WriteReport(&written, report); err != nil {
		t.Fatal(err)
	}
	if all := written.all / 1000 * 65535; all > maxJSON {
		t.Errorf("all ports take %d bytes, ReadJSON reads %d", all, maxJSON)
	}
}

func TestReadJSONPassesOverKeysOfANewerAgent(t *testing.T) {
	report, err := ReadReport(strings.NewReader(
		`{"new":{"a":[1]},"time":"2026-11-22T12:00:00Z","ports":[{"port":7,"new":1,"tcp":{"in":{},"out":{}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Ports) != 1 || report.Ports[0].Port.Number != 7 || report.Ports[0].RatesKnown {
		t.Errorf("read %+v", report)
	}
}

func TestReadJSONNeedsTheRatesOfBothProtocols(t *testing.T) {
	const flow = `{"bytes":1,"packets":1,"bytes_per_second":1,"packets_per_second":1}`
	report, err := ReadReport(strings.NewReader(`{"time":"2026-11-22T12:00:00Z","ports":[{"port":7,` +
		`"tcp":{"in":{"bytes":1},"out":{"bytes":1}},"udp":{"in":` + flow + `,"out":` + flow + `}}]}`))
	if err != nil || report.Ports[0].RatesKnown {
		t.Errorf("read %+v, %v", report, err)
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, report := range []*accounting.Report{sample.Report(), sample.ManyPorts(2), {Time: sample.Noon}} {
		var text bytes.Buffer
		if err := WriteReport(&text, report); err != nil {
			f.Fatal(err)
		}
		f.Add(text.Bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := ReadReport(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, err := ReadReport(strings.NewReader(toText(t, report)))
		if err != nil {
			t.Fatalf("what was read is not read again: %v", err)
		}
		// A time with a zone is the same moment in another form.
		report.Time, again.Time = report.Time.UTC(), again.Time.UTC()
		if difference := cmp.Diff(toText(t, report), toText(t, again)); difference != "" {
			t.Errorf("(-first +again):\n%s", difference)
		}
	})
}

func toText(t *testing.T, report *accounting.Report) string {
	t.Helper()
	var text strings.Builder
	if err := WriteReport(&text, report); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
