package endtoend_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
)

// The group that the state directory belongs to, and a user of no other one.
const readersGroup, readersUser = 64123, 64321

// asUser returns the command prefix that runs a program as an unprivileged user
// of one more group.
func asUser(group int) []string {
	return []string{"setpriv", fmt.Sprintf("--reuid=%d", readersUser), fmt.Sprintf("--regid=%d", readersUser),
		fmt.Sprintf("--groups=%d", group), "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"}
}

// giveStateToGroup makes the state directory what systemd makes of it.
func (p product) giveStateToGroup(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.Chown(p.stateDirectory(), nobody, readersGroup), os.Chmod(p.stateDirectory(), 0o750)); err != nil {
		t.Fatal(err)
	}
}

// truth returns what the kernel counted for two clients, which has to be what
// was sent.
func (s *stream) truth(t *testing.T, server namespace) map[string]traffic {
	t.Helper()
	clients := map[string]traffic{"alice": server.counted(t, 20000), "bob": server.counted(t, 20001)}
	sent := s.sent()
	for client, port := range map[string]uint16{"alice": 20000, "bob": 20001} {
		want := traffic{
			in:  sent[accounting.Key{Port: port, Protocol: accounting.UDP, Direction: accounting.In}],
			out: sent[accounting.Key{Port: port, Protocol: accounting.UDP, Direction: accounting.Out}],
		}
		if clients[client] != want || want.in.Bytes == 0 || want.out.Bytes == 0 {
			t.Fatalf("the kernel counted %+v for %s, sent was %+v", clients[client], client, want)
		}
	}
	return clients
}

// run lets some traffic pass.
func (s *stream) flow(t *testing.T) {
	t.Helper()
	s.resume()
	s.waitFor(t, 30)
	s.pause(t)
	s.forget()
}

func TestUsageEqualsTheKernelsCounters(t *testing.T) {
	require(t, "sqlite3", "setpriv")
	t.Parallel()
	server, client := newServerAndClient(t)
	server.giveStateToGroup(t)
	member, stranger := asUser(readersGroup), asUser(readersUser)
	start := func() agent {
		return server.startCounting(t, "--save-interval", "0s", "--port", "20000=alice", "--port", "20001=bob")
	}
	agent := start()
	traffic := newStream(t, server.namespace, client, 20000, 20001)
	expect := func(t *testing.T) {
		t.Helper()
		want := traffic.truth(t, server.namespace)
		server.waitUsage(t, want)
		server.expectUsage(t, nil, want)
		server.expectUsage(t, member, want)
		begin(t, server.ssmonitor(stranger, "usage")).expectOneLine(t, "permission denied", "ssmonitor")
	}
	t.Run("running", func(t *testing.T) {
		traffic.flow(t)
		expect(t)
		server.expectSocketUsage(t, nil, traffic.truth(t, server.namespace))
		server.expectSocketUsage(t, url.Values{"by": {"hour"}, "last": {"2h"}}, traffic.truth(t, server.namespace))
	})
	t.Run("killed", func(t *testing.T) {
		traffic.flow(t)
		server.waitUsage(t, traffic.truth(t, server.namespace))
		agent.kill()
		expect(t)
	})
	t.Run("stopped", func(t *testing.T) {
		agent = start()
		traffic.flow(t)
		agent.stop(t)
		expect(t)
		if files, err := os.ReadDir(server.stateDirectory()); err != nil {
			t.Error(err)
		} else {
			for _, file := range files {
				server.expectPrivate(t, file)
			}
		}
	})
	t.Run("checked", func(t *testing.T) {
		server.expectSound(t)
	})
}

// expectPrivate checks that a file of the state is the owner's and the group's.
func (p product) expectPrivate(t *testing.T, file fs.DirEntry) {
	t.Helper()
	information, err := os.Stat(p.stateFile(file.Name()))
	if err != nil {
		t.Fatal(err)
	}
	owner := information.Sys().(*syscall.Stat_t)
	mode := fs.FileMode(0o640)
	if file.Name() == "lock" {
		mode = 0o600 // a reader could lock it
	}
	if owner.Uid != nobody || owner.Gid != readersGroup || information.Mode() != mode {
		t.Errorf("%s belongs to %d:%d with mode %o", file.Name(), owner.Uid, owner.Gid, information.Mode())
	}
}

// expectOneLine waits for the end of a program that fails, with one line that
// has all of the words.
func (p *program) expectOneLine(t *testing.T, words ...string) {
	t.Helper()
	p.endsWith(t, 1, words...)
	text := p.stderr.String()
	if strings.Count(text, "\n") != 1 || strings.Contains(text, "goroutine") {
		t.Errorf("%s does not say it in one line:\n%s", p, text)
	}
	if out := p.stdout.String(); out != "" {
		t.Errorf("%s fails and prints:\n%s", p, out)
	}
}

// TestUsageInTheMiddleOfABackup stops the agent while it writes a backup of a
// large ledger, and kills it there.
func TestUsageInTheMiddleOfABackup(t *testing.T) {
	require(t, "sqlite3", "setpriv")
	t.Parallel()
	const others, hours = 500, 60
	server, client := newServerAndClient(t)
	server.giveStateToGroup(t)
	writeHistory(t, server.stateDirectory(), others, hours)
	run := []string{"--save-interval", "0s", "--port", "20000=alice", "--port", "20001=bob"}
	traffic := newStream(t, server.namespace, client, 20000, 20001)
	server.setup(t, "--port", "20000=alice", "--port", "20001=bob")
	traffic.flow(t)
	agent := server.startCounting(t, run...)
	agent.stop(t) // all is saved before the next agent begins a backup
	if err := os.Remove(server.stateFile("ssmonitor.backup.db")); err != nil {
		t.Fatal(err)
	}
	agent = server.startAgent(t, run...)
	for deadline := time.Now().Add(patience); ; {
		if _, err := os.Stat(server.stateFile("ssmonitor.backup.db.new")); err == nil {
			agent.freeze(t)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no backup is written")
		}
	}
	if _, err := os.Stat(server.stateFile("ssmonitor.backup.db")); err == nil {
		t.Skip("the backup was complete before the agent could be stopped")
	}
	want := traffic.truth(t, server.namespace)
	expect := func() {
		t.Helper()
		answer := server.usage(t, "--client", "alice", "--client", "bob")
		answer.expect(t, "in the middle of a backup", want)
		got := server.usageOfView(t, asUser(readersGroup), "usage_monthly")
		if got["alice"] != want["alice"] || got["bob"] != want["bob"] {
			t.Errorf("sqlite3 reads %v and %v", got["alice"], got["bob"])
		}
		begin(t, server.ssmonitor(asUser(readersGroup), "usage", "--top", "3")).endsWith(t, 0)
	}
	expect()
	agent.kill()
	expect()
	agent = server.startCounting(t, run...)
	traffic.flow(t)
	want = traffic.truth(t, server.namespace)
	agent.stop(t)
	expect()
	server.expectSound(t)
	if _, err := os.Stat(server.stateFile("ssmonitor.backup.db.new")); err == nil {
		t.Error("the unfinished backup is still there")
	}
}

// writeHistory makes a ledger with usage of ports from 30000 on, hour by hour.
func writeHistory(t *testing.T, directory string, ports, hours int) {
	t.Helper()
	now := time.Now().Add(-time.Duration(hours) * time.Hour)
	ledger, _, _, err := store.Open(directory, store.Options{Holder: "test", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for hour := range hours {
		var state accounting.State
		for port := range ports {
			for _, direction := range []accounting.Direction{accounting.In, accounting.Out} {
				state.Accounts = append(state.Accounts, accounting.Account{
					Key:   accounting.Key{Port: uint16(30000 + port), Protocol: accounting.TCP, Direction: direction},
					Total: accounting.Count{Packets: uint64(hour + 1), Bytes: uint64(1000 * (hour + 1) * (port + 1))},
				})
			}
		}
		if err := ledger.Save(state); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
}
