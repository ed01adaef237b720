package sources_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	command "ssmonitor/internal/setup"
	"ssmonitor/internal/testkit"
)

const (
	patience = 20 * time.Second
	nobody   = 65534
)

// running is a machine with servers that run, in a network namespace of its own.
type running struct {
	directory, list string
	from            sources.Sources
}

func newRunning(t *testing.T) *running {
	t.Helper()
	testkit.NetworkNamespace(t)
	directory := testkit.RootsDirectory(t)
	list := filepath.Join(directory, "list")
	host := *command.RunningServers
	return &running{directory, list, sources.Sources{
		SearchRoot: filepath.Join(directory, "root"), Earlier: list, Host: noHost,
		Processes: &host, LookInterval: time.Millisecond,
	}}
}

// write writes a file that any user may read.
func (r *running) write(t *testing.T, name, content string) string {
	t.Helper()
	path := write(t, r.directory, name, content)
	for at := path; at != r.directory; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil { //nolint:gosec // for a server of another user
			t.Fatal(err)
		}
	}
	return path
}

// start starts a server, and returns a function that ends it.
func (r *running) start(t *testing.T, user uint32, name string, arguments ...string) (stop func()) {
	t.Helper()
	command := testkit.Start(t, func(command *exec.Cmd) {
		command.Dir = r.directory
		if user != 0 {
			command.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
		}
	}, name, arguments...)
	return func() { testkit.Stop(command) }
}

// waitingScript returns a script with which a shell waits by itself. If it started a
// program for that, there would be two processes with its command line for a moment. No
// process writes to the FIFO.
func (r *running) waitingScript(t *testing.T) string {
	t.Helper()
	fifo := filepath.Join(r.directory, "fifo")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.Chmod(fifo, 0o666)); err != nil {
		t.Fatal(err)
	}
	return r.write(t, "wait.sh", "read line < '"+fifo+"'\n")
}

// setUp loads the sources and writes the list, as setup does. It returns the ports with
// their sources.
func (r *running) setUp(t *testing.T) (ports []string, notes string) {
	t.Helper()
	result, err := sources.Follow(r.from).Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := portlist.Write(r.list, result.Entries); err != nil {
		t.Fatal(err)
	}
	for _, entry := range result.Entries {
		from := strings.ReplaceAll(strings.Join(entry.Sources, ", "), r.directory, "DIR")
		ports = append(ports, portlist.FormatSpec(entry.Port)+" from "+from)
	}
	return ports, fmt.Sprint(result.Notes)
}

func (r *running) wait(t *testing.T, want ...string) (notes string) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		var got []string
		got, notes = r.setUp(t)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s\nnotes: %s", diff, notes)
		}
		return nil
	})
	return notes
}

// A server that runs names its configuration, wherever that is: also one with an address
// that is not this host's, which would look like a client's.
func TestRunningServersNameTheirFiles(t *testing.T) {
	r := newRunning(t)
	file := func(name, form string, arguments ...any) string {
		return r.write(t, name, fmt.Sprintf(form, arguments...))
	}
	const form = `{"server": "0.0.0.0", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm", "mode": "tcp_and_udp", "local_port": 1080}`
	file("odd/a.json", strings.Replace(form, "0.0.0.0", "192.0.2.9", 1), 8001)
	r.start(t, 0, "ss-server", "-c", "odd/a.json", "-s", "0.0.0.0")
	r.wait(t, "8001 from process ss-server: DIR/odd/a.json")
	r.start(t, nobody, "ss-server", "-c", file("odd/b.json", form, 8002))
	r.start(t, 0, "ss-server", "-s", "0.0.0.0", "-p", "8003", "-k", "QZQZQ", "-m", "aes-256-gcm")
	rest := []string{
		"8001 from process ss-server: DIR/odd/a.json",
		"8002 from process ss-server: DIR/odd/b.json",
		"8003/tcp from process ss-server: command line",
	}
	r.wait(t, rest...)
	// A usual place is the source alone, however the file is named.
	usual := file("root/etc/shadowsocks/config.json", form, 8004)
	if err := os.Symlink(usual, filepath.Join(r.directory, "link.json")); err != nil {
		t.Fatal(err)
	}
	r.start(t, 0, "ss-server", "-c", "link.json")
	notes := r.wait(t, append(rest, "8004 from DIR/root/etc/shadowsocks/config.json")...)
	if strings.Contains(notes, "QZQ") || notes != "[]" {
		t.Errorf("notes: %s", notes)
	}
	v2ray := file("v/a.json", `{"inbounds": [{"port": 8005, "tag": "alice", "protocol": "shadowsocks", "settings": {"method": "aes-256-gcm", "password": "QZQZQ", "network": "tcp"}}], "outbounds": [{"protocol": "freedom"}]}`)
	r.start(t, 0, "v2ray", "-config", v2ray)
	testkit.Eventually(t, patience, func() error {
		got, _ := r.setUp(t)
		if len(got) != 5 || !strings.HasSuffix(got[4], "from process v2ray: DIR/v/a.json") {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
}

// What other users' processes say counts only as far as root wrote it. They add no port,
// name none, hide none and have nothing read that others may write.
func TestHostileProcesses(t *testing.T) {
	r := newRunning(t)
	const form = `{"servers": [
		{"address": "::", "port": 8051, "password": "QZQZQ", "method": "aes-256-gcm", "remarks": "mallory"},
		{"address": "::", "port": %d, "password": "QZQZQ", "method": "aes-256-gcm", "remarks": "mallory"}]}`
	r.write(t, "root/etc/shadowsocks/config.json", `{"server_port": 8051}`)
	roots := r.write(t, "a\n# from x\n1\x1b[2J.json", fmt.Sprintf(form, 8052))
	owned, beside := r.write(t, "nobody.json", fmt.Sprintf(form, 8053)), r.write(t, "nobody/a.json", fmt.Sprintf(form, 8054))
	link := filepath.Join(r.directory, "nobody/link.json")
	if err := errors.Join(os.Chown(owned, nobody, 0), os.Chown(filepath.Dir(beside), nobody, 0), os.Symlink(roots, link)); err != nil {
		t.Fatal(err)
	}
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program := r.write(t, "ssserver", string(shell))
	script := r.waitingScript(t)
	r.start(t, nobody, program, script, "-c", link, "-c", owned, "-c", beside,
		"-c", "/etc/shadow", "-c", "../../../../etc/shadow", "-c", "/dev/zero", "-c", "/proc/1/environ", "-s", "0.0.0.0:8055")
	// The link may lead elsewhere later: it is not the source.
	want := []string{"8051 from DIR/root/etc/shadowsocks/config.json, process ssserver: DIR/a\n# from x\n1\x1b[2J.json",
		"8052=mallory from process ssserver: DIR/a\n# from x\n1\x1b[2J.json"}
	notes := r.wait(t, want...)
	for _, part := range []string{
		"/etc/shadow: the user of the process may not read it", owned + ": others than root may write", beside + ": others than root may write",
		"of user nobody) listens on 8055: name it with --port, if it is to be counted",
	} {
		if !strings.Contains(notes, part) {
			t.Errorf("no note %q in %s", part, notes)
		}
	}
	for range 20 {
		r.start(t, nobody, program, script, "-c", "/etc/shadow", "-s", "0.0.0.0:8056")
	}
	testkit.Eventually(t, patience, func() error {
		result, err := sources.Follow(r.from).Load()
		if notes := fmt.Sprint(result.Notes); len(result.Notes) != 9 || !strings.Contains(notes, "more notes on running servers") {
			return fmt.Errorf("%d notes: %s, %w", len(result.Notes), notes, err)
		}
		return nil
	})
	r.from.Processes.Proc = r.write(t, "file", "") // nothing is known of processes
	notes = r.wait(t, "8051 from DIR/root/etc/shadowsocks/config.json, process ssserver: DIR/a\n# from x\n1\x1b[2J.json", want[1])
	if !strings.Contains(notes, "stay counted") {
		t.Errorf("notes: %s", notes)
	}
}

// What no configuration explains, the sockets of root's servers show; those of others are
// noted.
func TestSocketsShowWhatNoFileDoes(t *testing.T) {
	r := newRunning(t)
	file := r.write(t, "a.json", `{"server": "0.0.0.0", "server_port": 8011, "password": "QZQZQ", "method": "aes-256-gcm"}`)
	stop := []func(){r.start(t, 0, "ss-server", "-c", file)}
	r.wait(t, "8011 from process ss-server: DIR/a.json")
	r.listens(t, 1)
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	notes := r.wait(t, "8011 from process ss-server: DIR/a.json") // kept
	if !strings.Contains(notes, "no such file") {
		t.Errorf("notes: %s", notes)
	}
	if err := os.Remove(r.list); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "8011/tcp from process ss-server: sockets")
	stop[0]()
	r.start(t, nobody, "ss-server", "-s", "0.0.0.0", "-c", file+".old")
	r.wait(t, "8011 from process ss-server: DIR/a.json.old")
	r.listens(t, 1) // it has read the file
	if err := os.Chmod(file+".old", 0o600); err != nil {
		t.Fatal(err)
	}
	if notes := r.wait(t); !strings.Contains(notes, "listens on 8011/tcp: name it") {
		t.Errorf("notes: %s", notes)
	}
}

// listens waits until so many sockets receive.
func (r *running) listens(t *testing.T, want int) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		if found, err := command.RunningServers.Listeners(accounting.TCPAndUDP); err != nil || len(found) < want {
			return fmt.Errorf("%v, %w", found, err)
		}
		return nil
	})
}

// A port that is named, or that a file has, is as that says: no server of root's widens,
// narrows or renames it.
func TestServersChangeNoPortThatIsNamed(t *testing.T) {
	r := newRunning(t)
	r.write(t, "root/etc/shadowsocks/config.json", `{"server_port": 8092, "mode": "udp_only"}`)
	r.from.Ports = []accounting.Port{{Number: 8091, Protocols: accounting.TCPAndUDP, Name: "alice"}, {Number: 8093, Protocols: accounting.OnlyUDP}}
	for _, port := range []string{"8091", "8092", "8093", "8094"} {
		r.start(t, 0, "ss-server", "-s", "0.0.0.0", "-p", port, "-k", "QZQZQ", "-m", "aes-256-gcm")
	}
	r.listens(t, 4)
	r.wait(t, "8091=alice from --port", "8092/udp from DIR/root/etc/shadowsocks/config.json", "8093/udp from --port",
		"8094/tcp from process ss-server: command line")
	r.from.Following = true
	r.from.Ports = append(r.from.Ports, accounting.Port{Number: 8094, Protocols: accounting.TCPAndUDP, Name: "bob"})
	r.wait(t, "8091=alice from --port", "8092/udp from DIR/root/etc/shadowsocks/config.json", "8093/udp from --port", "8094=bob from --port")
}

// A server that sees other files at its paths has none of this host's read for it.
func TestServersWithOtherFiles(t *testing.T) {
	r := newRunning(t)
	const form = `{"server": "0.0.0.0", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm"}`
	here := r.write(t, "a/c.json", fmt.Sprintf(form, 8101))
	r.write(t, "b/c.json", fmt.Sprintf(form, 8102))
	r.write(t, "root/etc/shadowsocks/config.json", strings.Replace(fmt.Sprintf(form, 8103), "0.0.0.0", "192.0.2.9", 1))
	testkit.Require(t, "unshare")
	r.start(t, 0, "unshare", "-m", "sh", "-c", "mount --bind b a && exec ss-server -c "+here)
	r.listens(t, 1)
	notes := r.wait(t, "8102/tcp from process ss-server: sockets")
	if !strings.Contains(notes, here+": the process sees other files there") {
		t.Errorf("notes: %s", notes)
	}
	r.start(t, 0, "unshare", "-m", "sh", "-c", "mount --bind a a && exec ss-server -c "+here) // the same files
	r.wait(t, "8101 from process ss-server: DIR/a/c.json", "8102/tcp from process ss-server: sockets")
}

// Directories that are named several times are read once.
func TestDirectoriesThatAreNamedOften(t *testing.T) {
	r := newRunning(t)
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program, script := r.write(t, "xray", string(shell)), r.waitingScript(t)
	const form = `{"inbounds": [{"port": %d, "protocol": "shadowsocks", "settings": {"method": "aes-256-gcm", "password": "QZQZQ", "network": "tcp"}}]}`
	for i := range 10 {
		r.write(t, fmt.Sprintf("conf/%d.json", i), fmt.Sprintf(form, 8110+i))
	}
	if err := os.Symlink("conf", filepath.Join(r.directory, "link")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.start(t, 0, program, script, "-confdir", "conf", "-confdir", r.directory+"/conf", "-confdir", "link")
	}
	reads := 0
	r.from.Progress = func() { reads++ }
	testkit.Eventually(t, patience, func() error {
		reads = 0
		if got, notes := r.setUp(t); len(got) != 10 || reads > 10+10+9+10 {
			return fmt.Errorf("%d reports of progress; %s, notes %s", reads, got, notes)
		}
		return nil
	})
	if reads < 20 {
		t.Errorf("%d reports of progress", reads)
	}
}

// A program that serves other protocols too may listen for any of these.
func TestSocketsOfSeveralProtocols(t *testing.T) {
	r := newRunning(t)
	configuration := strings.NewReader(`{"inbounds": [{"port": 8071, "protocol": "shadowsocks", "settings": {"method": "aes-256-gcm", "password": "QZQZQ"}}], "outbounds": [{"protocol": "freedom"}]}`)
	testkit.Start(t, func(command *exec.Cmd) { command.Stdin = configuration }, "v2ray", "-config=stdin:")
	testkit.Eventually(t, patience, func() error {
		got, notes := r.setUp(t)
		if len(got) != 0 || !strings.Contains(notes, "the running v2ray listens at 8071/tcp") || !strings.Contains(notes, "--port") {
			return fmt.Errorf("%s, notes %s", got, notes)
		}
		return nil
	})
}

// The place of root's file is its directory, in which it may be replaced. That of another
// user is the file alone: he would choose what else may be opened.
func TestPlacesOfRunningServers(t *testing.T) {
	r := newRunning(t)
	const form = `{"server": "0.0.0.0", "server_port": %d, "password": "QZQZQ", "method": "aes-256-gcm"}`
	roots, others := r.write(t, "roots/a.json", fmt.Sprintf(form, 8041)), r.write(t, "others/b.json", fmt.Sprintf(form, 8042))
	database := r.write(t, "panel/x-ui.db", "")
	r.start(t, 0, "ss-server", "-c", roots)
	r.start(t, nobody, "ss-server", "-c", others)
	if err := os.WriteFile(database, []byte(fmt.Sprintf(form, 8043)), 0o644); err != nil { //nolint:gosec // nobody reads it
		t.Fatal(err)
	}
	r.start(t, nobody, "ss-server", "-c", database)
	want := []string{filepath.Dir(roots), others}
	testkit.Eventually(t, patience, func() error {
		var got []string
		for _, place := range r.from.Places() {
			if strings.HasPrefix(place.Path, r.directory) && place.Path != r.directory {
				got = append(got, place.Path)
				if place.Optional != (place.Path == others) {
					return fmt.Errorf("%+v", place)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}
