package paths

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// offload has a flowtable pass packets from device to device, past every hook
// at forward.
const offload = `
	table inet fast {
		flowtable ft { hook ingress priority 0; devices = { uplink, bridge0 }; }
		chain forward { type filter hook forward priority 0; meta l4proto { tcp, udp } %s flow add @ft; }
	}`

// TestFlowtableIsReported has a published port whose connections a flowtable
// takes, so that only their first packets are counted.
func TestFlowtableIsReported(t *testing.T) {
	l := newLab(t)
	l.addContainer(t).echo(t, "")
	l.publish(t)
	l.server.nft(t, fmt.Sprintf(offload, ""))
	report := run(t, l.ssmonitor("setup", "--no-search", "--json", "--list", l.list(), "--port", fmt.Sprint(publishedPort)))
	if !strings.Contains(report, "offloads connections to flowtable ft: only the first packets of published ports are counted") {
		t.Errorf("setup does not report the flowtable:\n%s", report)
	}
	transfer{"tcp", serverIPv4, publishedPort, 0}.from(t, l.client)
	counters := l.server.counters(t, "ssmonitor")
	in, out := counters["tcp-20000-in"], counters["tcp-20000-out"]
	if in == 0 || out == 0 || min(in, out) >= streamSize {
		t.Errorf("the flowtable takes no packets: counted %d bytes in and %d out of more than %d each", in, out, streamSize)
	}
	if found := l.finding(t, "flow-offload"); found.Level != "wrong" ||
		!strings.Contains(fmt.Sprint(found.Remedy), "exclude those ports from the rule with flow add @ft") {
		t.Errorf("check finds %+v", found)
	}
}

// TestRemedyForFlowtables does what check recommends.
func TestRemedyForFlowtables(t *testing.T) {
	l := newLab(t)
	l.addContainer(t).echo(t, "")
	l.publish(t)
	l.server.nft(t, fmt.Sprintf(offload, fmt.Sprintf("ct original proto-dst != %d", publishedPort)))
	run(t, l.ssmonitor("setup", "--no-search", "--list", l.list(), "--port", fmt.Sprint(publishedPort)))
	l.startAgent(t, "--list", l.list())
	each(t, publishedPort, l.exact, serverIPv4, serverIPv6)
}

// finding is an entry of `check --json`.
type finding struct {
	ID, Level, Message string
	Remedy             []string
}

// finding returns what check reports with the id.
func (l *lab) finding(t *testing.T, id string) finding {
	t.Helper()
	printed, err := l.ssmonitor("check", "--json", "--no-search", "--state", l.state, "--csv", "", "--list", l.list()).Output()
	if _, wrong := errors.AsType[*exec.ExitError](err); err != nil && !wrong {
		t.Fatal(err)
	}
	var report struct{ Findings []finding }
	if err := json.Unmarshal(printed, &report); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	for _, found := range report.Findings {
		if found.ID == id {
			return found
		}
	}
	t.Fatalf("no finding %s in\n%s", id, printed)
	return finding{}
}
