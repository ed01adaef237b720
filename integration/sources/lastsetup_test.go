package sources_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/processes"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
)

// A process that follows sees no sockets, and no working directory. It keeps what setup
// as root has found. Whoever writes the list first, the other one finds it right.
func TestRootAndTheUnitAgree(t *testing.T) {
	r := newRunning(t)
	const form = `{"server": "0.0.0.0", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm"}`
	r.write(t, "a/c.json", fmt.Sprintf(form, 8021))
	r.write(t, "b/c.json", fmt.Sprintf(form, 8022))
	hidden := r.write(t, "hidden.json", fmt.Sprintf(form, 8023))
	from := func(directory string) func() {
		at := *r
		at.directory = filepath.Join(r.directory, directory)
		return at.start(t, 0, "ss-server", "-c", "c.json")
	}
	stop := []func(){from("a"), from("b"), r.start(t, 0, "ss-server", "-c", hidden)}
	r.listens(t, 3)
	if err := os.Remove(hidden); err != nil {
		t.Fatal(err)
	}
	want := []string{"8021 from process ss-server: DIR/a/c.json", "8022 from process ss-server: DIR/b/c.json", "8023/tcp from process ss-server: sockets"}
	r.wait(t, want...)
	unit, user := *r, *r
	unit.from.Following = true
	for range 3 {
		r.wait(t, want...)
		withoutTracing(t, func() { unit.wait(t, want...); user.wait(t, want...) })
	}
	var places []string
	withoutTracing(t, func() {
		for _, place := range unit.from.Places() {
			places = append(places, place.Path)
		}
	})
	for _, place := range []string{"a", "b"} {
		if !slices.Contains(places, filepath.Join(r.directory, place)) {
			t.Errorf("%s is no place: %s", place, places)
		}
	}
	// At boot, and while they are started again, none or some of the servers run.
	for _, stop := range stop {
		withoutTracing(t, func() { unit.wait(t, want...) })
		stop()
	}
	withoutTracing(t, func() { unit.wait(t, want...) })
	stop = append(stop, r.start(t, 0, "ss-server", "-s", "0.0.0.0", "-p", "8024", "-k", "QZQZQ", "-m", "aes-256-gcm"))
	more := append(slices.Clone(want), "8024/tcp from process ss-server: command line")
	withoutTracing(t, func() { unit.wait(t, more...) })
	stop[3]()
	r.start(t, 0, "ss-server", "-s", "0.0.0.0", "-p", "8025", "-k", "QZQZQ", "-m", "aes-256-gcm")
	more = append(more, "8025/tcp from process ss-server: command line")
	withoutTracing(t, func() { unit.wait(t, more...) })
	// A file of a server that has ended is read, and may be removed.
	r.write(t, "a/c.json", fmt.Sprintf(form, 8020))
	if err := os.Remove(filepath.Join(r.directory, "b/c.json")); err != nil {
		t.Fatal(err)
	}
	more = append([]string{"8020 from process ss-server: DIR/a/c.json"}, more[2:]...)
	withoutTracing(t, func() { unit.wait(t, more...) })
	r.write(t, "a/c.json", "{")
	more[0] = "8020 from process ss-server: DIR/a/c.json" // kept
	withoutTracing(t, func() {
		if notes := unit.wait(t, more...); !strings.Contains(notes, "a server that ran: ") {
			t.Errorf("notes: %s", notes)
		}
	})
	r.wait(t, "8025/tcp from process ss-server: command line")
}

// A follower reads what setup as root found meanwhile.
func TestFollowTheListOfRoot(t *testing.T) {
	r := newRunning(t)
	// An address of another host: root's server has it all the same.
	const form = `{"server": "192.0.2.9", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm", "local_port": 1080}`
	file := r.write(t, "a.json", fmt.Sprintf(form, 8121))
	r.from.Following = true
	follower := sources.Follow(r.from)
	follow(t, follower, []step{
		{"no server", func() {}, 0, false},
		{"a list", func() {
			entry := portlist.Entry{Port: accounting.Port{Number: 8121, Protocols: accounting.TCPAndUDP}, Sources: []string{"process ss-server: " + file}}
			if err := portlist.Write(r.list, []portlist.Entry{entry}); err != nil {
				t.Fatal(err)
			}
		}, 1, false},
		{"a change of the file", func() { r.write(t, "a.json", `{"port_password": {"1": "", "2": ""}}`) }, 2, false},
	})
	r.write(t, "a.json", fmt.Sprintf(form, 8122))
	r.wait(t, "8122 from process ss-server: DIR/a.json")
	r.write(t, "a.json", `{"port_password": {"1": "", "2": ""}}`)
	r.setUp(t)
	usual := filepath.Join(r.directory, "root/etc/shadowsocks/config.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(usual), 0o755), os.Symlink(file, usual)); err != nil { //nolint:gosec // no secret
		t.Fatal(err)
	}
	r.wait(t, "1 from DIR/root/etc/shadowsocks/config.json", "2 from DIR/root/etc/shadowsocks/config.json")
}

// withoutTracing does something without the capability to look into other processes.
func withoutTracing(t *testing.T, do func()) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all, some [2]unix.CapUserData
	if err := unix.Capget(&header, &all[0]); err != nil {
		t.Fatal(err)
	}
	some = all
	some[0].Effective, some[1].Effective = 1<<unix.CAP_NET_ADMIN|1<<unix.CAP_DAC_OVERRIDE, 0
	if err := unix.Capset(&header, &some[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&header, &all[0]); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// TestFollowServersOfALongTime has a procfs of its own: real servers are young in a test.
func TestFollowServersOfALongTime(t *testing.T) {
	proc := t.TempDir()
	file := write(t, proc, "config.json", `{"server_port": 8061}`)
	const mounts = "22 1 0:21 / / rw - ext4 a rw\n"
	write(t, proc, "thread-self/mountinfo", mounts)
	own := write(t, proc, "thread-self/net/dev", "")
	start := func(pid string, arguments ...string) {
		write(t, proc, pid+"/comm", "ss-server\n")
		write(t, proc, pid+"/stat", pid+" (ss-server) S 1 1 1 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 1 1")
		write(t, proc, pid+"/cmdline", "ss-server\x00"+strings.Join(arguments, "\x00"))
		write(t, proc, pid+"/status", "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
		write(t, proc, pid+"/mountinfo", mounts)
		write(t, proc, pid+"/net/other", "")
		if err := os.Link(own, filepath.Join(proc, pid, "net/dev")); err != nil {
			t.Fatal(err)
		}
	}
	host := &processes.Procfs{Proc: proc}
	from := sources.Sources{SearchRoot: filepath.Join(proc, "root"), Host: noHost, Processes: host, LookInterval: time.Nanosecond}
	follower := sources.Follow(from)
	noticed := func() { // at the next look, which is not at once
		testkit.Eventually(t, patience, func() error {
			if !follower.Changed() {
				return errors.New("nothing has changed")
			}
			return nil
		})
	}
	follow(t, follower, []step{
		{"no server", func() {}, 0, false},
		{"one", func() { start("10", "-c", file); noticed() }, 1, false},
		{"another one", func() { start("11", "-p", "8062"); noticed() }, 2, false},
		{"the end of one", func() { _ = os.Rename(filepath.Join(proc, "11"), filepath.Join(proc, "ended")); noticed() }, 1, false},
		{"another file", func() { write(t, proc, "config.json", `{"port_password": {"1": "", "2": ""}}`) }, 2, false},
		{"no file", func() { remove(t, file) }, 0, false},
	})
	time.Sleep(300 * time.Millisecond) // several looks
	if follower.Changed() {
		t.Error("the same servers are a change")
	}
}

// A follower notices servers that are started and that end. One that was started at the
// moment of the Load may listen only afterwards.
func TestFollowRunningServers(t *testing.T) {
	r := newRunning(t)
	follower := sources.Follow(r.from)
	wait := func(what string, want ...string) {
		t.Helper()
		testkit.Eventually(t, patience, func() error {
			if !follower.Changed() {
				return fmt.Errorf("%s: nothing has changed", what)
			}
			result, err := follower.Load()
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, specs(result.Ports)); diff != "" {
				return fmt.Errorf("%s: -want +got:\n%s", what, diff)
			}
			return nil
		})
	}
	if _, err := follower.Load(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	if follower.Changed() {
		t.Error("nothing runs, and that is a change")
	}
	stop := r.start(t, 0, "ss-server", "-s", "0.0.0.0", "-p", "8031", "-k", "QZQZQ", "-m", "aes-256-gcm")
	wait("a server", "8031/tcp")
	file := r.write(t, "a.json", `{"server": "0.0.0.0", "server_port": 8032, "password": "QZQZQ", "method": "aes-256-gcm"}`)
	r.start(t, 0, "ss-server", "-c", file)
	wait("another one", "8031/tcp", "8032")
	r.write(t, "a.json", `{"server": "0.0.0.0", "server_port": 8033, "password": "QZQZQ", "method": "aes-256-gcm"}`)
	wait("its file", "8031/tcp", "8032/tcp", "8033") // it listens where it was
	wait("a second look at a young one", "8031/tcp", "8032/tcp", "8033")
	stop()
	wait("the end of one", "8032/tcp", "8033")
}
