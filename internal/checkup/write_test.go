package checkup

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
)

// blogFindings checks a machine that still has the blog post's setup.
func blogFindings(t *testing.T) []finding.Finding {
	t.Helper()
	m := newMachine(t)
	m.writeBlogSetup()
	m.write("/usr/lib/netdata/plugins.d/apps.plugin", "", 0o755, 0)
	m.write("/usr/lib/netdata/plugins.d/ssmonitor.plugin", "", 0o755, 0)
	m.write("/run/ssmonitor/ssmonitor.sock", "", 0o660, 0)
	m.write(csv, "", 0o644, 3*time.Minute)
	path := list(t, "20000=alice\n20001=bob\n")
	c := &checker{Check: Check{Machine: m.Machine, Settings: &settings.Settings{List: path}}}
	c.checkConfigurations(sources.Result{
		Configs: []shadowsocks.Config{{Path: "/etc/shadowsocks/config.json", Form: &shadowsocks.Form{Program: "ss-manager or shadowsocks-python", Sign: "port_password"}, Ports: portsOf(20000, 20001, 20002)}},
	}, nil)
	counted, err := c.counted()
	c.checkList(counted, err, portsOf(20000, 20001, 20002), false)
	findings := slices.Concat(c.found, m.checkSocket(socket, group), m.checkCSV(csv, 2*time.Second, true, false), m.checkNetdata(socket, group), m.findLeftovers(csv))
	for i := range findings {
		f := &findings[i]
		f.Message = strings.ReplaceAll(f.Message, path, "/etc/ssmonitor/ports")
		f.Subject = strings.ReplaceAll(f.Subject, path, "/etc/ssmonitor/ports")
	}
	return findings
}

func TestWriteText(t *testing.T) {
	findings := blogFindings(t)
	testkit.Golden(t, "blog.golden", render(t, findings))
	var text bytes.Buffer
	if err := WriteText(&text, Problems(findings)); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "quiet.golden", text.String())
}

func TestWriteJSON(t *testing.T) {
	findings := blogFindings(t)
	for _, test := range []struct {
		name         string
		problemsOnly bool
	}{{"blog.json.golden", false}, {"quiet.json.golden", true}} {
		t.Run(test.name, func(t *testing.T) {
			var text bytes.Buffer
			if err := WriteJSON(&text, findings, test.problemsOnly); err != nil {
				t.Fatal(err)
			}
			if !json.Valid(text.Bytes()) {
				t.Error("this is not JSON")
			}
			testkit.Golden(t, test.name, text.String())
		})
	}
}

// TestWriteJSONKeepsCommands checks that a remedy can be copied from the document.
func TestWriteJSONKeepsCommands(t *testing.T) {
	var text bytes.Buffer
	f := finding.Finding{ID: "wrong", Level: finding.Wrong, Message: "message", Remedy: "one && two > three"}
	if err := WriteJSON(&text, []finding.Finding{f}, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), `"one && two > three"`) {
		t.Errorf("got\n%s", &text)
	}
}

var (
	fine    = finding.Finding{ID: "fine", Level: finding.OK, Message: "first"}
	noted   = finding.Finding{ID: "noted", Level: finding.Note, Message: "second"}
	unknown = finding.Finding{ID: "unknown", Level: finding.Unknown, Message: "a line\nand another", Remedy: "one\ntwo"}
	wrong   = finding.Finding{ID: "wrong", Level: finding.Wrong, Message: "third | or", Remedy: "three"}
)

// TestResults shows short checks in every form, with their results.
func TestResults(t *testing.T) {
	var text strings.Builder
	for _, test := range []struct {
		name     string
		findings []finding.Finding
		want     finding.Level
	}{
		{"nothing", nil, finding.OK},
		{"fine", []finding.Finding{fine}, finding.OK},
		{"with a note", []finding.Finding{fine, noted}, finding.OK},
		{"unknown", []finding.Finding{fine, unknown}, finding.Unknown},
		{"wrong", []finding.Finding{wrong}, finding.Wrong},
		{"unknown and wrong", []finding.Finding{unknown, noted, noted, wrong, wrong}, finding.Wrong},
	} {
		if got := Result(test.findings); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		text.WriteString("--- " + test.name + "\n" + render(t, test.findings) + "\n")
		if err := WriteNagios(&text, test.findings); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Golden(t, "results.golden", text.String())
}
