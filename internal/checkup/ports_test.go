package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/finding"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
)

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

// TestNames compares the names in the list with those that an agent reports.
func TestNames(t *testing.T) {
	c := &checker{Check: Check{Machine: new(Machine), Settings: &settings.Settings{List: "ports"}}}
	var counted sources.Result
	named := func(number uint16, name string) accounting.Port {
		return accounting.Port{Number: number, Protocols: accounting.TCPAndUDP, Name: name}
	}
	for _, port := range []accounting.Port{named(1, "alice"), named(2, ""), named(3, "bob"), named(4, "carol")} {
		counted.Entries = append(counted.Entries, portlist.Entry{Port: port, Sources: []string{"a.json"}})
	}
	c.compareNames(counted)
	c.agent.Report = new(accounting.Report)
	for _, port := range []accounting.Port{named(1, "alice"), named(2, "dave"), named(3, "erin")} {
		c.agent.Report.Ports = append(c.agent.Report.Ports, accounting.PortReport{Port: port})
	}
	c.compareNames(counted)
	if len(c.found) != 1 || c.found[0].ID != finding.Clients || c.found[0].Level != finding.Note ||
		!strings.HasPrefix(c.found[0].Message, `port 3 is "bob" in a.json, and "erin" in reports`) || !strings.Contains(c.found[0].Remedy, "client new 3 NAME") {
		t.Errorf("got %+v", c.found)
	}
}

func TestList(t *testing.T) {
	onlyTCP := accounting.Ports{{Number: 1, Protocols: accounting.OnlyTCP}}
	for _, test := range []struct {
		name          string
		list, clients string // empty: no file
		found, served accounting.Ports
		want          []string
		ports         accounting.Ports
	}{
		{"all agree", "1\n2\n", "", portsOf(1, 2), portsOf(1, 2), []string{"ok port-list ports 1-2"}, portsOf(1, 2)},
		{"a port is missing", "1\n", "", portsOf(1, 2), nil, []string{"ok port-list", "wrong port-list-incomplete port 2"}, portsOf(1)},
		{"a protocol is missing", "1/tcp\n", "", portsOf(1), nil, []string{"ok port-list port 1/tcp", "wrong port-list-incomplete port 1/udp"}, onlyTCP},
		{"a port too many", "1\n2\n", "", portsOf(1), nil, []string{"ok port-list", "note port-list-extra port 2"}, portsOf(1, 2)},
		{"no configurations", "1\n2\n", "", nil, nil, []string{"ok port-list"}, portsOf(1, 2)},
		{"not served by the agent", "1\n2\n", "", nil, portsOf(1), []string{"ok port-list", "wrong port-list-not-served reload"}, portsOf(1, 2)},
		{"no list", "", "", portsOf(1), nil, []string{"wrong port-list ssmonitor setup"}, portsOf(1)},
		{"no list, no configurations", "", "", nil, nil, []string{"wrong port-list --port 20000=alice"}, nil},
		{"no list, ports of the agent", "", "", portsOf(1), portsOf(3), []string{"note port-list was started with"}, portsOf(3)},
		{"empty list", "# none\n", "", nil, nil, []string{"wrong port-list is empty"}, nil},
		{"malformed list", "80a\n", "", portsOf(1), nil, []string{"wrong port-list line 1"}, nil},
		{"clients alone", "", "alice: {ports: 1}\n", portsOf(1), portsOf(1), []string{"note port-list clients.yaml alone"}, accounting.Ports{{Number: 1, Protocols: 3, Name: "alice"}}},
		{"clients beside the list", "2\n", "alice: {ports: 1}\n", portsOf(1, 2), portsOf(2), []string{"ok port-list ports 1-2", "wrong port-list-not-served port 1"}, accounting.Ports{{Number: 1, Protocols: 3, Name: "alice"}, portsOf(2)[0]}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &checker{Check: Check{Machine: &Machine{Root: t.TempDir(), Now: time.Now().Add(time.Minute)}, Settings: &settings.Settings{List: list(t, test.list)}}}
			if test.served != nil {
				c.agent.Report = new(accounting.Report)
			}
			for _, port := range test.served {
				c.agent.Report.Ports = append(c.agent.Report.Ports, accounting.PortReport{Port: port})
			}
			if test.clients != "" {
				c.Settings.Clients = filepath.Join(t.TempDir(), "clients.yaml")
				testkit.WriteFile(t, c.Settings.Clients, test.clients)
			}
			counted, err := c.counted()
			ports := c.checkList(counted, err, test.found, false)
			wantFindings(t, c.found, test.want...)
			if difference := cmp.Diff(test.ports, ports); difference != "" {
				t.Errorf("ports (-want +got)\n%s", difference)
			}
		})
	}
}

func TestConfigurations(t *testing.T) {
	denied := func(path string) error { return &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission} }
	broken := fmt.Errorf("reading a Shadowsocks configuration: /etc/b.json: %w", &shadowsocks.SyntaxError{Line: 3, Column: 9})
	for _, test := range []struct {
		name  string
		found sources.Result
		err   error
		want  []string
	}{
		{"none", sources.Result{}, nil, nil},
		{"none, but a port was named", sources.Result{Ports: portsOf(1)}, nil, nil},
		{"found, with notes", sources.Result{
			Configs: []shadowsocks.Config{{Path: "/etc/shadowsocks/config.json", Form: &shadowsocks.Form{Program: "ss-manager or shadowsocks-python", Sign: "port_password"}, Ports: portsOf(20002, 20000, 20001)}},
			Notes: []error{
				fmt.Errorf("reading a Shadowsocks configuration: /etc/a.json: %w", shadowsocks.ErrClient),
				&fs.PathError{Op: "stat", Path: "/etc/dangling.json", Err: fs.ErrNotExist},
				errors.New("port 1 has two names"),
				denied("/etc/closed"),
			},
		}, nil, []string{"ok configuration config.json: ss-manager or shadowsocks-python (by port_password): ports 20000-20002",
			"note configuration client", "note configuration dangling.json", "note configuration two names",
			"unknown configuration run it as root"}},
		{"of running servers", sources.Result{
			Configs: []shadowsocks.Config{{Path: "/srv/a.json", Form: &shadowsocks.Form{Program: "shadowsocks-libev, -rust or -python", Sign: "server_port"}, Ports: portsOf(1)}},
			Entries: []portlist.Entry{
				{Port: portsOf(1)[0], Sources: []string{"process ss-server: /srv/a.json"}},
				{Port: portsOf(2)[0], Sources: []string{"/etc/a.json", "process ss-server: sockets"}},
				{Port: portsOf(3)[0], Sources: []string{"process ss-server: sockets"}},
			},
		}, nil, []string{"ok configuration shadowsocks-libev, -rust or -python (by server_port), named by the running ss-server: port 1", "ok configuration process ss-server: sockets: ports 2-3"}},
		{"several bad files", sources.Result{}, errors.Join(errors.Join(broken, denied("/etc/c.json")), errors.Join(broken)),
			[]string{"wrong configuration line 3, column 9", "unknown configuration run it as root", "wrong configuration line 3"}},
		{"one bad file", sources.Result{}, broken, []string{"wrong configuration correct or remove"}},
		{"an error that wraps several", sources.Result{}, fmt.Errorf("%w (%w)", sources.ErrNoList, fs.ErrNotExist),
			[]string{"wrong configuration there is no list of ports yet"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &checker{Check: Check{Machine: &Machine{UID: 1000}}}
			c.checkConfigurations(test.found, test.err)
			wantFindings(t, c.found, test.want...)
		})
	}
}

// TestNoConfigurationIsOneFinding searches a host without Shadowsocks, or doesn't.
func TestNoConfigurationIsOneFinding(t *testing.T) {
	const none = "no Shadowsocks configuration was found in the usual places"
	for _, test := range []struct {
		name, list string
		search     bool
		want       []string
	}{
		{"no list", "", true, []string{"wrong port-list nothing to count, and " + none}},
		{"no list, not searched", "", false, []string{"wrong port-list nothing to count"}},
		{"a list of named ports", "20000\n", true, []string{"note configuration-search " + none, "ok port-list port 20000"}},
		{"a list of named ports, not searched", "20000\n", false, []string{"ok port-list port 20000"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := newCheck(t)
			c.agent.Report = nil
			c.Settings.List = list(t, test.list)
			c.Sources = sources.Sources{Host: func() (shadowsocks.LocalHost, error) { return shadowsocks.LocalHost{}, nil }}
			if test.search {
				c.Sources.SearchRoot = newMachine(t).Root
			}
			c.checkPorts()
			wantFindings(t, c.found, test.want...)
			for _, f := range c.found {
				if !test.search && strings.Contains(f.Message, none) {
					t.Errorf("got %q without a search", f.Message)
				}
			}
		})
	}
}

// TestConfigurationsOfASearch has real files in one of the usual places.
func TestConfigurationsOfASearch(t *testing.T) {
	m := newMachine(t)
	m.write("/etc/shadowsocks/good.json", `{"port_password": {"20000": "secret"}}`, 0o600, 0)
	m.write("/etc/shadowsocks/broken.json", `{"port_password": {`, 0o600, 0)
	m.write("/etc/shadowsocks/worse.json", `{"server_port": "80a"}`, 0o600, 0)
	if err := os.Symlink("nowhere.conf", filepath.Join(m.Root, "/etc/shadowsocks/dangling.json")); err != nil {
		t.Fatal(err)
	}
	c, _ := newCheck(t)
	c.Sources = sources.Sources{SearchRoot: m.Root, Host: func() (shadowsocks.LocalHost, error) { return shadowsocks.LocalHost{}, nil }}
	c.Settings.List = list(t, "20000\n")
	wantProblems(t, c, "note configuration broken.json", "note configuration dangling.json", "note configuration worse.json")
}

// A part that can't be read has its ports of the last setup, which is no reason to write
// the list again, and one to correct the file.
func TestABrokenPartKeepsItsPorts(t *testing.T) {
	m := newMachine(t)
	const part = `{"inbounds": [{"type": "shadowsocks", "listen_port": 21001}]}`
	m.write("/etc/sing-box/conf/10.json", part, 0o600, 0)
	m.write("/etc/sing-box/conf/20.json", `{"inbounds":[`, 0o600, 0)
	c, _ := newCheck(t)
	c.Sources = sources.Sources{SearchRoot: m.Root, Host: func() (shadowsocks.LocalHost, error) { return shadowsocks.LocalHost{}, nil }}
	c.Settings.List = list(t, fmt.Sprintf("# from %[1]s/10.json\n21001\n# from %[1]s/20.json\n21002\n", filepath.Join(m.Root, "/etc/sing-box/conf")))
	var broken, extra string
	for _, f := range c.findings() {
		switch {
		case f.ID == finding.PortListExtra:
			extra = f.Message
		case strings.Contains(f.Message, "20.json"):
			broken = f.Message + ": " + f.Remedy
		}
	}
	if extra != "" || !strings.Contains(broken, "stay counted: 1: correct the file") {
		t.Errorf("got %q and %q, want that the ports are kept, and to correct the file", extra, broken)
	}
}

// TestRemedyForAnIncompleteList names the unit that follows the configurations where it is
// installed only.
func TestRemedyForAnIncompleteList(t *testing.T) {
	c, _ := newCheck(t)
	if got := c.updateList(); got != "update it: ssmonitor setup" {
		t.Errorf("without units: got %s", got)
	}
	testkit.WriteFile(t, c.Machine.path("/usr/lib/systemd/system/ssmonitor.service"), "")
	if got := c.updateList(); !strings.Contains(got, "systemctl enable --now ssmonitor-setup.service") {
		t.Errorf("with units: got %s", got)
	}
}
