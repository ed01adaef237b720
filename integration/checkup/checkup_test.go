package checkup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/checkup"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
)

// machine is one whose files the test makes. Its groups are netdata's own,
// 7777, and ssmonitor with the test's number, so that the test can make files
// of it.
type machine struct {
	*checkup.Machine
	t *testing.T
}

const (
	socket    = "/run/ssmonitor/ssmonitor.sock"
	csv       = "/run/ssmonitor/ssmonitor.csv"
	group     = "ssmonitor"
	netdataID = 7777
)

func newMachine(t *testing.T) machine {
	t.Helper()
	// Not t.TempDir(), whose paths are too long for a socket.
	root, err := os.MkdirTemp("", "checkup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	own := uint32(os.Getgid())
	return machine{&checkup.Machine{
		Root: root,
		Now:  time.Now(),
		Account: func(name string) (checkup.Account, error) {
			if name != "netdata" {
				return checkup.Account{}, user.UnknownUserError(name)
			}
			return checkup.Account{ID: netdataID, Groups: []uint32{netdataID, own}}, nil
		},
		Group: func(name string) (uint32, error) {
			if name != group {
				return 0, user.UnknownGroupError(name)
			}
			return own, nil
		},
	}, t}
}

// write makes a file that was written so long ago.
func (m machine) write(path, content string, mode fs.FileMode, age time.Duration) {
	m.t.Helper()
	path = filepath.Join(m.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	_ = os.Remove(path) // one that may not be written to
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		m.t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, mode), os.Chtimes(path, m.Now.Add(-age), m.Now.Add(-age))); err != nil {
		m.t.Fatal(err)
	}
}

// listen makes the socket.
func (m machine) listen(mode fs.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.Root, socket)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = listener.Close() })
	if err := os.Chmod(path, mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) chmod(path string, mode fs.FileMode) {
	m.t.Helper()
	if err := os.Chmod(filepath.Join(m.Root, path), mode); err != nil {
		m.t.Fatal(err)
	}
}

// wantFindings compares what was found with lines "LEVEL PART", where PART is
// in what is said or done.
func wantFindings(t *testing.T, got []checkup.Finding, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(got), len(want), render(t, got))
	}
	for i, finding := range got {
		level, part, _ := strings.Cut(want[i], " ")
		if finding.Level.String() != level || !strings.Contains(finding.What+"\n"+finding.Do, part) {
			t.Errorf("got %s %s\n%s\nwant %s", finding.Level, finding.What, finding.Do, want[i])
		}
		if finding.Level == checkup.Wrong && finding.Do == "" {
			t.Errorf("%s: nothing is said of what to do", finding.What)
		}
	}
}

func render(t *testing.T, findings []checkup.Finding) string {
	t.Helper()
	var text bytes.Buffer
	if err := checkup.Write(&text, findings); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestSocket(t *testing.T) {
	for name, test := range map[string]struct {
		make func(machine)
		want []string
	}{
		"none":           {func(machine) {}, nil},
		"right":          {func(m machine) { m.listen(0o660) }, []string{"ok who is in group ssmonitor"}},
		"for everybody":  {func(m machine) { m.listen(0o666) }, []string{"WRONG mode 0666"}},
		"not a socket":   {func(m machine) { m.write(socket, "", 0o660, 0) }, []string{"WRONG is not a socket"}},
		"no such group":  {func(m machine) { m.listen(0o660); m.noGroup() }, []string{"WRONG groupadd"}},
		"of other group": {func(m machine) { m.listen(0o660); m.otherGroup() }, []string{"WRONG systemctl restart"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			test.make(m)
			wantFindings(t, m.Socket(socket, group), test.want...)
		})
	}
}

func (m machine) noGroup() {
	m.Group = func(name string) (uint32, error) { return 0, user.UnknownGroupError(name) }
}

func (m machine) otherGroup() {
	m.Group = func(string) (uint32, error) { return 4711, nil }
}

func TestCSV(t *testing.T) {
	const interval = 2 * time.Second
	for name, test := range map[string]struct {
		path    string
		age     time.Duration // negative: no file
		running bool
		want    []string
	}{
		"fresh":                  {csv, time.Second, true, []string{"ok 1s old"}},
		"none, and no agent":     {csv, -1, false, nil},
		"none, and an agent":     {csv, -1, true, []string{"WRONG writes no CSV"}},
		"stale":                  {csv, time.Minute, true, []string{"WRONG 1m0s old"}},
		"left behind":            {csv, time.Hour, false, []string{"WRONG no agent writes it"}},
		"where PrivateTmp hides": {"/tmp/ssmonitor.csv", 0, true, []string{"ok", "note PrivateTmp"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if test.age >= 0 {
				m.write(test.path, "20000,1,1,1,1\n", 0o644, test.age)
			}
			wantFindings(t, m.CSV(test.path, interval, test.running), test.want...)
		})
	}
}

func TestNetdata(t *testing.T) {
	const plugin = "/usr/libexec/netdata/plugins.d/ssmonitor.plugin"
	installed := func(m machine) { m.write("/usr/libexec/netdata/plugins.d/apps.plugin", "", 0o755, 0) }
	complete := func(m machine) {
		installed(m)
		m.write(plugin, "", 0o755, 0)
		m.listen(0o660)
	}
	for name, test := range map[string]struct {
		make func(machine)
		want []string
	}{
		"not installed":  {func(machine) {}, []string{"ok is not installed"}},
		"no plugin":      {installed, []string{"note ln -s"}},
		"all is right":   {complete, []string{"ok " + plugin, "ok may read from the socket"}},
		"not executable": {func(m machine) { complete(m); m.chmod(plugin, 0o644) }, []string{"WRONG chmod 0755"}},
		"leads nowhere": {func(m machine) {
			installed(m)
			if err := os.Symlink("nowhere", filepath.Join(m.Root, plugin)); err != nil {
				m.t.Fatal(err)
			}
		}, []string{"WRONG leads nowhere"}},
		"a custom plugin": {func(m machine) {
			installed(m)
			m.write("/etc/netdata/custom-plugins.d/ssmonitor.plugin", "", 0o755, 0)
		}, []string{"ok custom-plugins.d", "note start the agent"}},
		"not in the group": {func(m machine) { complete(m); m.otherGroup() }, []string{"ok", "WRONG usermod"}},
		"no group":         {func(m machine) { complete(m); m.noGroup() }, []string{"ok", "WRONG usermod"}},
		"no user": {func(m machine) {
			complete(m)
			m.Account = func(name string) (checkup.Account, error) { return checkup.Account{}, user.UnknownUserError(name) }
		}, []string{"ok", "note no user netdata"}},
		"by its group":     {func(m machine) { complete(m); m.chmod("/run/ssmonitor", 0o710) }, []string{"ok", "ok"}},
		"can't reach it":   {func(m machine) { complete(m); m.chmod("/run/ssmonitor", 0o701) }, []string{"ok", "WRONG chmod o+x /run/ssmonitor"}},
		"can't get so far": {func(m machine) { complete(m); m.chmod("/run", 0o701) }, []string{"ok", "WRONG may not enter /run (mode 0701)"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			test.make(m)
			wantFindings(t, m.Netdata(socket, group), test.want...)
		})
	}
}

// writeBlogSetup makes the files that the blog post has its readers make.
func (m machine) writeBlogSetup() {
	m.write("/usr/bin/ssmonitor.py", "#!/usr/bin/python\n", 0o755, 0)
	m.write("/usr/lib/systemd/system/ssmonitor.service", "[Service]\nExecStart=/usr/bin/ssmonitor.py\n", 0o644, 0)
	m.write("/etc/iptables/iptables.rules", "*filter\n:INPUT ACCEPT [0:0]\n"+
		"-A INPUT -p tcp -m tcp --dport 20000\n-A OUTPUT -p tcp -m tcp --sport 20000\n"+
		"-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n", 0o644, 0)
	m.write("/tmp/ssmonitor.tmp", "20000,1,1,1,1\n", 0o644, time.Second)
	m.write("/usr/lib/netdata/python.d/shadowsocks.chart.py", "open('/tmp/ssmonitor.tmp')\n", 0o644, 0)
	m.write("/usr/lib/netdata/python.d/other.chart.py", "", 0o644, 0)
	m.write("/proc/thread-self/net/ip_tables_names", "filter\nraw\n", 0o440, 0)
}

func TestLeftovers(t *testing.T) {
	m := newMachine(t)
	wantFindings(t, m.Leftovers(csv))
	m.write("/usr/lib/systemd/system/ssmonitor.service", "[Service]\nExecStart=/usr/bin/ssmonitor run\n", 0o644, 0)
	m.write("/proc/thread-self/net/ip_tables_names", "", 0o440, 0)
	wantFindings(t, m.Leftovers(csv))

	m.writeBlogSetup()
	wantFindings(t, m.Leftovers(csv),
		"note ssmonitor.py", "WRONG systemctl disable", "note iptables.rules still has rules that only count, 2 of them",
		"note something still writes", "note shadowsocks.chart.py reads", "unseen iptables-legacy -t filter -S")
	// With --csv /tmp/ssmonitor.tmp the old module goes on working.
	wantFindings(t, m.Leftovers("/tmp/ssmonitor.tmp"), "note ssmonitor.py", "WRONG", "note iptables.rules", "unseen")
}

func list(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ports")
	if content != "" {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func portsOf(numbers ...uint16) (ports accounting.Ports) {
	for _, number := range numbers {
		ports = append(ports, accounting.Port{Number: number, Protocols: accounting.TCPAndUDP})
	}
	return ports
}

func TestList(t *testing.T) {
	for name, test := range map[string]struct {
		list           string
		found, counted accounting.Ports
		want           []string
		ports          accounting.Ports
	}{
		"all agree":         {"1\n2\n", portsOf(1, 2), portsOf(1, 2), []string{"ok ports 1-2"}, portsOf(1, 2)},
		"a port is missing": {"1\n", portsOf(1, 2), nil, []string{"ok", "WRONG not in the list"}, portsOf(1)},
		"a protocol is missing": {"1/tcp\n", portsOf(1), nil, []string{"ok port 1/tcp", "WRONG port 1/udp"},
			accounting.Ports{{Number: 1, Protocols: accounting.OnlyTCP}}},
		"a port too many":             {"1\n2\n", portsOf(1), nil, []string{"ok", "note port 2"}, portsOf(1, 2)},
		"no configurations":           {"1\n2\n", nil, nil, []string{"ok"}, portsOf(1, 2)},
		"not taken over by the agent": {"1\n2\n", nil, portsOf(1), []string{"ok", "WRONG reload"}, portsOf(1, 2)},
		"no list":                     {"", portsOf(1), nil, []string{"WRONG ssmonitor setup"}, portsOf(1)},
		"nothing at all":              {"", nil, nil, []string{"WRONG --port 20000=alice"}, nil},
		"ports of the agent's own":    {"", portsOf(1), portsOf(3), []string{"note was started with"}, portsOf(3)},
		"an empty list":               {"# none\n", nil, nil, []string{"WRONG is empty"}, nil},
		"no list of ports":            {"80a\n", portsOf(1), nil, []string{"WRONG line 1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			findings, ports := checkup.List(list(t, test.list), test.found, test.counted)
			wantFindings(t, findings, test.want...)
			if difference := cmp.Diff(test.ports, ports); difference != "" {
				t.Error(difference)
			}
		})
	}
}

func TestConfigurations(t *testing.T) {
	found := sources.Result{
		Configs: []shadowsocks.Config{{Path: "/etc/shadowsocks/config.json", Form: shadowsocks.FormPortPassword, Ports: portsOf(20002, 20000, 20001)}},
		Notes: []error{
			fmt.Errorf("reading a Shadowsocks configuration: /etc/a.json: %w", shadowsocks.ErrClient),
			fmt.Errorf("reading a Shadowsocks configuration: /etc/b.json: %w", &shadowsocks.SyntaxError{Line: 3, Column: 9}),
			&fs.PathError{Op: "open", Path: "/etc/c.json", Err: fs.ErrPermission},
			errors.New("port 1 has two names"),
		},
	}
	wantFindings(t, checkup.Configurations(found, nil),
		"ok (port_password): ports 20000-20002", "note client", "WRONG line 3, column 9", "unseen as root", "note two names")
	wantFindings(t, checkup.Configurations(sources.Result{}, nil), "note --shadowsocks FILE")
	// What was named has to be right.
	err := errors.Join(fmt.Errorf("a: %w", fs.ErrNotExist), fmt.Errorf("b: %w", fs.ErrPermission), fmt.Errorf("c: %w", shadowsocks.ErrClient))
	wantFindings(t, checkup.Configurations(sources.Result{}, err), "WRONG a:", "unseen b:", "WRONG c:")
	wantFindings(t, checkup.Configurations(sources.Result{}, fs.ErrNotExist), "WRONG mend")
}

func TestDescribePorts(t *testing.T) {
	for want, ports := range map[string]accounting.Ports{
		"no port":             nil,
		"port 7":              portsOf(7),
		"ports 7-8":           portsOf(8, 7),
		"ports 1, 3-5, 65535": portsOf(1, 3, 4, 5, 65535),
		"ports 1/udp, 2-3":    {{Number: 1, Protocols: accounting.OnlyUDP}, {Number: 2, Protocols: accounting.TCPAndUDP}, {Number: 3, Protocols: accounting.TCPAndUDP}},
		"ports 2, 4, 6, 8, 10, 12, 14, 16, and 2 more": portsOf(2, 4, 6, 8, 10, 12, 14, 16, 18, 20),
	} {
		if got := checkup.DescribePorts(ports); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestWrite shows a whole check of a machine with the blog post's set-up.
func TestWrite(t *testing.T) {
	m := newMachine(t)
	m.writeBlogSetup()
	m.write("/usr/lib/netdata/plugins.d/ssmonitor.plugin", "", 0o755, 0)
	m.listen(0o666)
	m.write(csv, "", 0o644, 3*time.Minute)
	configurations := sources.Result{
		Configs: []shadowsocks.Config{{Path: "/etc/shadowsocks/config.json", Form: shadowsocks.FormPortPassword, Ports: portsOf(20000, 20001, 20002)}},
		Notes:   []error{&fs.PathError{Op: "open", Path: "/etc/shadowsocks/other.json", Err: fs.ErrPermission}},
	}
	findings := checkup.Configurations(configurations, nil)
	path := list(t, "20000=alice\n20001=bob\n")
	listFindings, _ := checkup.List(path, portsOf(20000, 20001, 20002), nil)
	for _, more := range [][]checkup.Finding{
		listFindings, m.Socket(socket, group), m.CSV(csv, 2*time.Second, true), m.Netdata(socket, group), m.Leftovers(csv),
	} {
		findings = append(findings, more...)
	}
	testkit.Golden(t, "blog.golden", strings.ReplaceAll(render(t, findings), path, "/etc/ssmonitor/ports"))
	if !checkup.HasWrong(findings) {
		t.Error("the check has not failed")
	}
}

func TestWriteOfLittle(t *testing.T) {
	var text strings.Builder
	for _, findings := range [][]checkup.Finding{
		nil,
		{{Level: checkup.OK, What: "first"}, {Level: checkup.Note, What: "second"}},
		{{Level: checkup.Unseen, What: "a line\nand another", Do: "one\ntwo"}, {Level: checkup.Wrong, What: "third", Do: "three"}},
	} {
		text.WriteString(render(t, findings) + "--\n")
		if want := len(findings) > 0 && findings[len(findings)-1].Level == checkup.Wrong; checkup.HasWrong(findings) != want {
			t.Errorf("%v: failed %t", findings, !want)
		}
	}
	testkit.Golden(t, "little.golden", text.String())
}

func TestThisMachine(t *testing.T) {
	m := checkup.ThisMachine()
	account, err := m.Account("root")
	if err != nil || account.ID != 0 || len(account.Groups) == 0 {
		t.Errorf("root is %+v, %v", account, err)
	}
	if _, err := m.Account("no-such-user"); !errors.As(err, new(user.UnknownUserError)) {
		t.Errorf("an unknown user: %v", err)
	}
	if number, err := m.Group("root"); err != nil || number != 0 {
		t.Errorf("group root is %d, %v", number, err)
	}
	if _, err := m.Group("no-such-group"); !errors.As(err, new(user.UnknownGroupError)) {
		t.Errorf("an unknown group: %v", err)
	}
}
