package systemd_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const state = "/var/lib/ssmonitor"

// usage returns the sum of `ssmonitor usage` as a user asks for it.
func (b *box) usage(user string) (traffic, error) {
	output, err := b.as(user, "ssmonitor", "usage", "--by", "total", "--format", "json")
	if err != nil {
		return traffic{}, err
	}
	var answer struct{ Total traffic }
	if err := json.Unmarshal([]byte(output), &answer); err != nil {
		return traffic{}, fmt.Errorf("%w in %s", err, output)
	}
	return answer.Total, nil
}

func TestLedgerLivesUnderTheUnitsRestrictions(t *testing.T) {
	require(t, "sqlite3")
	b := newServer(t)
	b.run(t, "useradd", "--groups", "ssmonitor", "reader")
	b.run(t, "useradd", "stranger")
	c := newClient(t, b, 8388)
	c.exchangeAll(t, 20)
	b.expectExact(t)
	want, err := b.totals()
	if err != nil || want.In.Bytes == 0 {
		t.Fatalf("the totals are %+v, %v", want, err)
	}
	expect := func(t *testing.T) {
		t.Helper()
		for _, user := range []string{"root", "reader"} {
			eventually(t, func() error {
				got, err := b.usage(user)
				if err == nil && got != want {
					err = fmt.Errorf("the usage is %+v for %s, want %+v", got, user, want)
				}
				return err
			})
		}
		output, err := b.as("stranger", "ssmonitor", "usage")
		if err == nil || strings.Count(output, "\n") != 1 || !strings.Contains(output, "usermod") {
			t.Errorf("who is not in the group is told: %v\n%s", err, output)
		}
		eventually(t, func() error { // it has what is saved, usage what was read
			output, err := b.as("reader", "sqlite3", "-readonly", state+"/ssmonitor.db", "select sum(bytes_in) from usage_monthly")
			if err == nil && strings.TrimSpace(output) != strconv.FormatUint(want.In.Bytes, 10) {
				err = fmt.Errorf("sqlite3 reads %s, want %d", output, want.In.Bytes)
			}
			return err
		})
		b.expectOwnFiles(t)
	}

	t.Run("running", expect)
	t.Run("the boot is known", func(t *testing.T) {
		saved := b.run(t, "sqlite3", "-readonly", state+"/ssmonitor.db", "select boot from ledger")
		if boot := strings.ReplaceAll(b.run(t, "cat", "/proc/sys/kernel/random/boot_id"), "-", ""); saved != boot {
			t.Errorf("the ledger has the boot %s, want %s", saved, boot)
		}
	})
	t.Run("killed", func(t *testing.T) {
		before := b.mainPID(t)
		b.run(t, "systemctl", "kill", "--signal=KILL", "ssmonitor.service")
		b.waitForSuccessor(t, before)
		expect(t)
	})
	t.Run("stopped", func(t *testing.T) {
		b.run(t, "rm", state+"/ssmonitor.backup.db")
		b.run(t, "systemctl", "stop", "ssmonitor.service")
		expect(t)
		saved := b.run(t, "sqlite3", "-readonly", "file:"+state+"/ssmonitor.backup.db?immutable=1", "select sum(bytes * (direction = 0)), sum(bytes * (direction = 1)) from account")
		if sums := fmt.Sprintf("%d|%d\n", want.In.Bytes, want.Out.Bytes); saved != sums {
			t.Errorf("the backup of the stop holds %s, want %s", saved, sums)
		}
	})
	t.Run("changed by root", func(t *testing.T) {
		b.run(t, "ssmonitor", "client", "new", "8388", "dave")
		expect(t)
		b.run(t, "systemctl", "start", "ssmonitor.service")
		expect(t)
		if output, err := b.as("reader", "ssmonitor", "client", "new", "8388", "erin"); err == nil || !strings.Contains(output, "run it as root") {
			t.Errorf("a reader changes the client: %v\n%s", err, output)
		}
		b.run(t, "ssmonitor", "client", "new", "8388", "erin") // by the agent
		expect(t)
		if list := b.run(t, "ssmonitor", "client", "list"); !strings.Contains(list, "8388  dave") || !strings.Contains(list, "8388  erin") {
			t.Errorf("the clients are:\n%s", list)
		}
		if mode := b.run(t, "stat", "--format", "%A %U", "/run/ssmonitor/control.sock"); mode != "srw------- ssmonitor\n" {
			t.Errorf("the control socket is %s", mode)
		}
	})
	if complaint := regexp.MustCompile(`(?mi)^.*(level=(warn|error)|panic|denied|not permitted).*$`).FindString(b.journal(t, "ssmonitor.service")); complaint != "" {
		t.Errorf("the journal is not clean: %s", complaint)
	}
}

// expectOwnFiles checks that all of the state belongs to the agent and its
// group.
func (b *box) expectOwnFiles(t *testing.T) {
	t.Helper()
	listing := strings.TrimSpace(b.run(t, "find", state, "-type", "f", "-printf", "%f %u %g %m\n"))
	for line := range strings.Lines(listing) {
		mode := " 640"
		if strings.HasPrefix(line, "lock ") {
			mode = " 600" // a reader could lock it
		}
		if !strings.HasSuffix(strings.TrimSpace(line), " ssmonitor ssmonitor"+mode) {
			t.Errorf("the state has a file with the wrong owner or mode: %s", line)
		}
	}
	if strings.Count(listing, "\n") < 3 {
		t.Errorf("the state has only:\n%s", listing)
	}
}
