package checkup

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"testing"
	"time"
)

func (m machine) noGroup() {
	m.LookupGroup = func(name string) (*user.Group, error) { return nil, user.UnknownGroupError(name) }
}

func (m machine) otherGroup() {
	m.LookupGroup = func(string) (*user.Group, error) { return &user.Group{Gid: "4711"}, nil }
}

func TestSocket(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(machine)
		want    []string
	}{
		{"missing", func(machine) {}, nil},
		{"as the agent makes it", func(m machine) { m.listen(0o660) }, []string{"ok agent-socket members of group ssmonitor"}},
		{"world-writable", func(m machine) { m.listen(0o666) }, []string{"wrong agent-socket mode 0666"}},
		{"regular file", func(m machine) { m.write(socket, "", 0o660, 0) }, []string{"wrong agent-socket is not a socket"}},
		{"no such group", func(m machine) { m.listen(0o660); m.noGroup() }, []string{"wrong agent-socket groupadd"}},
		{"another group", func(m machine) { m.listen(0o660); m.otherGroup() }, []string{"wrong agent-socket systemctl restart"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			test.prepare(m)
			wantFindings(t, m.checkSocket(socket, group), test.want...)
		})
	}
}

func TestCSV(t *testing.T) {
	const interval = 2 * time.Second
	for _, test := range []struct {
		name    string
		path    string
		age     time.Duration // negative: no file
		running bool
		want    []string
	}{
		{"fresh", csv, time.Second, true, []string{"ok csv-file 1s old"}},
		{"missing, no agent", csv, -1, false, nil},
		{"missing, agent running", csv, -1, true, []string{"wrong csv-file writes no CSV"}},
		{"missing in /tmp, agent running", "/tmp/ssmonitor.csv", -1, true, []string{"wrong csv-file a /tmp of its own (PrivateTmp=)"}},
		{"stale", csv, time.Minute, true, []string{"wrong csv-file 1m0s old"}},
		{"left behind", csv, time.Hour, false, []string{"wrong csv-file no agent writes it"}},
		{"in /tmp", "/tmp/ssmonitor.csv", 0, true, []string{"ok csv-file", "note csv-private-tmp PrivateTmp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			if test.age >= 0 {
				m.write(test.path, "20000,1,1,1,1\n", 0o644, test.age)
			}
			wantFindings(t, m.checkCSV(test.path, interval, test.running, false), test.want...)
		})
	}
}

func TestNetdata(t *testing.T) {
	const plugins = "/usr/libexec/netdata/plugins.d/"
	const plugin = plugins + "ssmonitor.plugin"
	installed := func(m machine) { m.write(plugins+"apps.plugin", "", 0o755, 0) }
	complete := func(m machine) {
		installed(m)
		m.write(plugin, "", 0o755, 0)
		m.listen(0o660)
	}
	const plugged = "ok netdata-plugin " + plugin
	for _, test := range []struct {
		name    string
		prepare func(machine)
		want    []string
	}{
		{"not installed", func(machine) {}, []string{"note netdata-plugin no Netdata is installed"}},
		{"not installed, but the plugin is there", func(m machine) { m.write(plugin, "", 0o755, 0) },
			[]string{"note netdata-plugin no Netdata is installed"}},
		{"no plugin", installed, []string{"note netdata-plugin ln -s"}},
		{"complete", complete, []string{plugged, "ok netdata-access may read from the socket"}},
		{"Debian's", func(m machine) {
			complete(m)
			m.remove("/usr/libexec")
			m.write("/usr/lib/netdata/plugins.d/apps.plugin", "", 0o755, 0)
			m.write("/usr/lib/netdata/plugins.d/ssmonitor.plugin", "", 0o755, 0)
		}, []string{"ok netdata-plugin /usr/lib/netdata/plugins.d/ssmonitor.plugin", "ok netdata-access"}},
		{"static build without the plugin, beside another", func(m machine) {
			complete(m)
			m.write("/opt/netdata/usr/libexec/netdata/plugins.d/apps.plugin", "", 0o755, 0)
		}, []string{plugged, "note netdata-plugin ln -s \"$(command -v ssmonitor)\" /opt/netdata/usr/libexec/netdata/plugins.d/", "ok netdata-access"}},
		{"plugin not executable", func(m machine) { complete(m); m.chmod(plugin, 0o644) }, []string{"wrong netdata-plugin chmod 0755"}},
		{"plugin dangling", func(m machine) {
			installed(m)
			if err := os.Symlink("nowhere", filepath.Join(m.Root, plugin)); err != nil {
				m.t.Fatal(err)
			}
		}, []string{"wrong netdata-plugin dangling link"}},
		{"custom plugin", func(m machine) {
			installed(m)
			m.write("/etc/netdata/custom-plugins.d/ssmonitor.plugin", "", 0o755, 0)
		}, []string{"ok netdata-plugin custom-plugins.d", "note netdata-access start the agent"}},
		{"plugins.d is a file", func(m machine) { m.write("/usr/libexec/netdata/plugins.d", "", 0o644, 0) }, []string{"wrong netdata-plugin readable"}},
		{"user not in the group", func(m machine) { complete(m); m.otherGroup() }, []string{plugged, "wrong netdata-access usermod"}},
		{"no such group", func(m machine) { complete(m); m.noGroup() }, []string{plugged, "wrong netdata-access usermod"}},
		{"no such user", func(m machine) {
			complete(m)
			m.LookupUser = func(name string) (User, error) { return User{}, user.UnknownUserError(name) }
		}, []string{plugged, "note netdata-access no user netdata"}},
		{"directory open to the group", func(m machine) { complete(m); m.chmod("/run/ssmonitor", 0o710) }, []string{plugged, "ok netdata-access"}},
		{"directory of Netdata's own", func(m machine) {
			complete(m)
			m.chmod("/run/ssmonitor", 0o700)
			m.LookupUser = func(string) (User, error) {
				return User{fmt.Sprint(os.Getuid()), []string{fmt.Sprint(os.Getgid())}}, nil
			}
		}, []string{plugged, "ok netdata-access"}},
		{"directory closed", func(m machine) { complete(m); m.chmod("/run/ssmonitor", 0o701) },
			[]string{plugged, "wrong netdata-access chmod o+x /run/ssmonitor"}},
		{"directory above closed", func(m machine) { complete(m); m.chmod("/run", 0o701) },
			[]string{plugged, "wrong netdata-access may not enter /run (mode 0701)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			test.prepare(m)
			wantFindings(t, m.checkNetdata(socket, group), test.want...)
		})
	}
}

// writeBlogSetup writes the files that readers of the blog post have.
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
	wantFindings(t, m.findLeftovers(csv))
	m.write("/usr/lib/systemd/system/ssmonitor.service", "[Service]\nExecStart=/usr/bin/ssmonitor run\n", 0o644, 0)
	m.write("/proc/thread-self/net/ip_tables_names", "", 0o440, 0)
	wantFindings(t, m.findLeftovers(csv))

	m.writeBlogSetup()
	wantFindings(t, m.findLeftovers(csv),
		"note old-script ssmonitor.py", "wrong old-unit systemctl disable", "note old-rules iptables.rules still has 2 rules that only count",
		"note old-csv written 1s ago", "note old-module shadowsocks.chart.py reads", "unknown iptables-legacy iptables-legacy -t filter -S")
	m.write("/tmp/ssmonitor.tmp", "", 0o644, time.Minute)
	if got := m.oldModuleFindings(csv); len(got) == 0 || got[0].Remedy != "rm /tmp/ssmonitor.tmp" {
		t.Errorf("once nothing writes the file: got %+v", got)
	}
	// With --csv /tmp/ssmonitor.tmp the old module keeps working.
	wantFindings(t, m.findLeftovers("/tmp/ssmonitor.tmp"), "note old-script", "wrong old-unit", "note old-rules", "unknown iptables-legacy")
}

func TestOldRules(t *testing.T) {
	for _, test := range []struct {
		name string // the rule
		want bool
	}{
		{"-A INPUT -p tcp -m tcp --dport 20000", true},
		{"-A INPUT -p udp -m udp --dport 20000", true},
		{"-A OUTPUT -p udp --sport 20000", true},
		{"-A FORWARD -p tcp -m tcp --dport 20000", true},
		{"-A FORWARD -p udp -m udp --sport 20000", true},
		{"[12:3456] -A INPUT -p udp -m udp --dport 20000", true},
		{"-A INPUT -p udp -m udp --dport 20000 -j ACCEPT", false},
		{"-A FORWARD -p tcp -m tcp --dport 20000 -j DROP", false},
		{"-A INPUT -p icmp", false},
		{"-A DOCKER -p tcp -m tcp --dport 20000", false},
		{"# -A INPUT -p tcp -m tcp --dport 20000", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.write("/etc/iptables/rules.v6", "*filter\n"+test.name+"\nCOMMIT\n", fs.FileMode(0o644), 0)
			var want []string
			if test.want {
				want = []string{"note old-rules /etc/iptables/rules.v6 still has 1 rule that"}
			}
			wantFindings(t, m.findLeftovers(csv), want...)
		})
	}
}

// TestOutputsAsNobody expects what a user may not look at to be unknown, and not
// missing.
func TestOutputsAsNobody(t *testing.T) {
	m := newMachine(t)
	m.chmod("", 0o755)
	m.write("/usr/libexec/netdata/plugins.d/apps.plugin", "", 0o755, 0)
	m.chmod("/usr/libexec/netdata/plugins.d", 0o700) // 0750 of another group in packages
	m.write("/proc/thread-self/net/ip_tables_names", "filter\n", 0o400, 0)
	m.write(csv, "", 0o644, 0)
	m.listen(0o660)
	m.chmod("/run/ssmonitor", 0o700)
	asNobody(t)
	m.UID = 65534
	wantFindings(t, m.checkNetdata(socket, group), "unknown netdata-plugin plugins.d: permission denied")
	wantFindings(t, m.findLeftovers(csv), "unknown iptables-legacy as root")
	wantFindings(t, m.checkSocket(socket, group), "unknown agent-socket permission denied")
	wantFindings(t, m.checkCSV(csv, time.Second, true, false), "unknown csv-file permission denied")
}
