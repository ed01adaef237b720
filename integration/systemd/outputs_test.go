package systemd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// metricsPort is what ssmonitor-metrics.socket listens on.
const (
	metricsPort = "10977"
	metricsURL  = "http://127.0.0.1:" + metricsPort + "/metrics"
)

func TestMetricsAreServedToLoopbackOnly(t *testing.T) {
	b := newServer(t)
	if output, err := b.attempt("curl", "--silent", "--max-time", "5", metricsURL); err == nil {
		t.Fatalf("metrics are served though nobody asked for them:\n%s", output)
	}
	b.run(t, "systemctl", "enable", "--now", "ssmonitor-metrics.socket") // while the agent runs
	b.expectMetrics(t, metricsURL)
	expectNoConnection(t, b.address())
	if rights := b.run(t, "sh", "-c", "grep -h -E '^(Uid|CapEff|CapBnd|NoNewPrivs)' /proc/$(systemctl show --property=MainPID --value ssmonitor-metrics.service)/status | cut -f 2"); rights !=
		b.run(t, "id", "--user", "ssmonitor-metrics")+strings.Repeat("0", 16)+"\n"+strings.Repeat("0", 16)+"\n1\n" {
		t.Errorf("the process has the user, capabilities and privileges\n%s", rights)
	}

	t.Run("even if the socket is open to all", func(t *testing.T) {
		b.write(t, "/etc/systemd/system/ssmonitor-metrics.socket.d/all.conf", "[Socket]\nListenStream=\nListenStream=0.0.0.0:"+metricsPort+"\n")
		b.run(t, "systemctl", "daemon-reload")
		b.run(t, "systemctl", "restart", "ssmonitor-metrics.socket")
		b.expectMetrics(t, metricsURL)
		expectNoConnection(t, b.address())
		if said := b.journal(t, "ssmonitor-metrics.service"); !strings.Contains(said, "without TLS and authentication") {
			t.Errorf("the log does not have what the listener lacks:\n%s", said)
		}
	})

	t.Run("and with a password if the settings have one", func(t *testing.T) {
		b.write(t, settingsFile, "web-config: /etc/ssmonitor/web.yml\nlisten: 127.0.0.1:9924\n")
		b.write(t, "/etc/ssmonitor/web.yml", "basic_auth_users: {prometheus: secret}\n") // no hash
		_, _ = b.attempt("systemctl", "restart", "ssmonitor-metrics.service")            // fails
		if output, err := b.attempt("curl", "--silent", "--max-time", "1", metricsURL); err == nil {
			t.Errorf("with a mistake in the web configuration, metrics are served:\n%s", output)
		}
		// The password is "secret", by bcrypt. The unit tries again by itself.
		b.write(t, "/etc/ssmonitor/web.yml", "basic_auth_users: {prometheus: $2a$04$3PeJc8qM/hHzAheIrWAQfuMtsRQYGQes4McVLc8DRiGsJDJcYmjPC}\n")
		b.expectMetrics(t, strings.Replace(metricsURL, "//", "//prometheus:secret@", 1))
		if page, err := b.attempt("curl", "--silent", "--fail", "--max-time", "5", metricsURL); err == nil {
			t.Errorf("metrics are served without the password:\n%s", page)
		}
		said := b.journal(t, "ssmonitor-metrics.service")
		for _, want := range []string{"reading the web configuration: /etc/ssmonitor/web.yml", "ListenStream="} {
			if !strings.Contains(said, want) {
				t.Errorf("the log does not have %q:\n%s", want, said)
			}
		}
		b.write(t, settingsFile, "")
		b.run(t, "systemctl", "restart", "ssmonitor-metrics.service")
		b.expectMetrics(t, metricsURL)
	})

	t.Run("and not while the agent is stopped", func(t *testing.T) {
		b.run(t, "systemctl", "disable", "--now", "ssmonitor-metrics.socket")
		b.run(t, "systemctl", "stop", "ssmonitor.service")
		b.run(t, "systemctl", "enable", "--now", "ssmonitor-metrics.socket")
		output := b.run(t, "curl", "--silent", "--max-time", "5", "--write-out", "%{http_code}", metricsURL)
		if !strings.Contains(output, "the agent is not running") || !strings.HasSuffix(output, "503") {
			t.Errorf("in place of metrics of a stopped agent there is:\n%s", output)
		}
		b.waitForAgent(t, "inactive")
		b.run(t, "systemctl", "start", "ssmonitor.service")
		b.expectMetrics(t, metricsURL)
	})

	t.Run("and after a reboot", func(t *testing.T) {
		b.reboot(t)
		b.expectMetrics(t, metricsURL)
	})
}

// formerSocket is the unit of version 0.2.0, whose agent served metrics itself.
const formerSocket = `[Unit]
PartOf=ssmonitor.service
[Socket]
ListenStream=127.0.0.1:10977
IPAddressDeny=any
IPAddressAllow=localhost
FileDescriptorName=metrics
Service=ssmonitor.service
[Install]
WantedBy=ssmonitor.service
`

// TestUpgradeKeepsMetricsOnTheirAddress upgrades from a version whose agent has the
// socket.
func TestUpgradeKeepsMetricsOnTheirAddress(t *testing.T) {
	b := newServer(t)
	b.write(t, "/usr/lib/systemd/system/ssmonitor-metrics.socket", formerSocket)
	const port = "9924"
	b.write(t, "/etc/systemd/system/ssmonitor-metrics.socket.d/port.conf", "[Socket]\nListenStream=\nListenStream=127.0.0.1:"+port+"\n")
	b.run(t, "rm", "/usr/lib/systemd/system/ssmonitor-metrics.service")
	b.run(t, "systemctl", "daemon-reload")
	b.run(t, "env", "DPKG_MAINTSCRIPT_PACKAGE=ssmonitor", "deb-systemd-helper", "update-state", "ssmonitor-metrics.socket")
	b.run(t, "systemctl", "enable", "ssmonitor-metrics.socket")
	b.run(t, "systemctl", "restart", "ssmonitor.service")
	if state := b.run(t, "systemctl", "show", "--property=SubState,Triggers", "ssmonitor-metrics.socket"); !strings.Contains(state, "SubState=running") || !strings.Contains(state, "ssmonitor.service") {
		t.Fatalf("before the upgrade, the socket is %s", state)
	}

	b.install(t, newerVersion)
	url := strings.Replace(metricsURL, metricsPort, port, 1)
	b.expectMetrics(t, url)
	if enabled := b.run(t, "systemctl", "is-enabled", "ssmonitor-metrics.socket"); enabled != "enabled\n" {
		t.Errorf("after the upgrade, the socket is %s", enabled)
	}
	b.install(t, newerVersion) // also while the new socket is in use
	b.expectMetrics(t, url)
	b.run(t, "dpkg", "--purge", "ssmonitor")
	if left := b.run(t, "find", "/etc/systemd/system", "-name", "ssmonitor-metrics.socket"); left != "" {
		t.Errorf("purged, the package leaves %s", left)
	}
}

// expectMetrics waits until the page is one of ssmonitor's.
func (b *box) expectMetrics(t *testing.T, url string) {
	t.Helper()
	eventually(t, func() error {
		page, err := b.attempt("curl", "--silent", "--show-error", "--fail", "--max-time", "5", url)
		if err == nil && !strings.Contains(page, "last_read") {
			err = fmt.Errorf("this is no page of ssmonitor:\n%s", page)
		}
		return err
	})
}

// expectNoConnection checks that the metrics cannot be reached from the test's
// network.
func expectNoConnection(t *testing.T, host string) {
	t.Helper()
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(host, metricsPort), 500*time.Millisecond)
	if err != nil {
		return
	}
	_ = connection.Close()
	t.Error("metrics are open to another network")
}

func TestSocketAnswersItsGroupOnly(t *testing.T) {
	b := newServer(t)
	b.run(t, "useradd", "--groups", "ssmonitor", "reader")
	b.run(t, "useradd", "stranger")
	ask := []string{"curl", "--silent", "--show-error", "--fail", "--unix-socket", socket, "http://ssmonitor/v1/ports"}
	if output, err := b.as("reader", ask...); err != nil || !strings.Contains(output, `"connections":`) {
		t.Errorf("who is in the group can't read, or not who is connected: %v\n%s", err, output)
	}
	if output, err := b.as("stranger", ask...); err == nil {
		t.Errorf("who is not in the group reads:\n%s", output)
	}
	eventually(t, func() error { // the first comes after an interval
		_, err := b.as("stranger", "cat", "/run/ssmonitor/ssmonitor.csv")
		return err
	})
	if _, err := b.as("stranger", "ls", "/var/lib/ssmonitor"); err == nil {
		t.Error("who is not in the group sees the state")
	}

	// All that the agent has in its runtime directory, where it may do little, is removed:
	// the group can read again, and root can change it.
	b.run(t, "sh", "-c", "rm -rf /run/ssmonitor/*")
	eventually(t, func() error {
		_, err := b.as("reader", ask...)
		return err
	})
	b.run(t, "ssmonitor", "client", "new", "8388", "bob")
	if output := b.run(t, "stat", "--format=%a %G", socket, "/run/ssmonitor/control.sock"); output != "660 ssmonitor\n600 ssmonitor\n" {
		t.Errorf("the sockets have the modes and groups\n%s", output)
	}
	if said := b.journal(t, "ssmonitor.service"); strings.Count(said, "and is back") != 2 {
		t.Errorf("the log does not have two sockets that are back:\n%s", said)
	}
}

// expectNoPassword checks that no file and no message of the box holds the
// password, Shadowsocks's own files excepted.
func (b *box) expectNoPassword(t *testing.T) {
	t.Helper()
	var read int
	b.walk(t, func(path string, entry fs.DirEntry) {
		if !entry.Type().IsRegular() || strings.Contains(path, "/etc/shadowsocks-libev/") {
			return
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return // the test has ended it
		}
		read++
		if bytes.Contains(content, []byte(password)) {
			t.Errorf("the password is in %s", path)
		}
	})
	if read == 0 {
		t.Error("no file was found to look into")
	}
	for _, command := range []string{
		"journalctl --no-pager --output=export",
		"curl --silent --unix-socket " + socket + " http://ssmonitor/v1/ports",
		"curl --silent --unix-socket " + socket + " http://ssmonitor/metrics",
		"ssmonitor setup --dry-run",
		"cat /etc/ssmonitor/ports",
	} {
		if output := b.run(t, strings.Fields(command)...); strings.Contains(output, password) {
			t.Errorf("%s shows the password", command)
		}
	}
}

func TestDebiansNetdataShowsTheCharts(t *testing.T) {
	require(t, "netdata")
	b := newServer(t)
	if groups := b.run(t, "id", "--name", "--groups", "netdata"); !strings.Contains(groups, "ssmonitor") {
		t.Fatalf("netdata is in the groups %s", groups)
	}
	c := newClient(t, b, 8388)
	b.run(t, "systemctl", "start", "netdata.service")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Netdata's log:\n%s", b.run(t, "grep", "--ignore-case", "ssmonitor", "/var/log/netdata/error.log"))
		}
	})
	stop := c.startBusy(t)
	c.waitExchanges(t, 20)
	if err := stop(); err != nil {
		t.Errorf("the client was disturbed: %v", err)
	}
	b.expectExact(t)
	truth := b.truth(t)
	eventually(t, func() error {
		page, err := b.attempt("curl", "--silent", "--fail", "http://127.0.0.1:19999/api/v1/allmetrics?format=prometheus&source=as-collected")
		if err != nil {
			return err
		}
		for dimension, want := range map[string]uint64{"received": truth.In.Bytes, "sent": truth.Out.Bytes} {
			value := regexp.MustCompile(fmt.Sprintf(`(?m)^.*chart="ssmonitor.port_8388_traffic".*dimension="%s"} (\d+)`, dimension)).FindStringSubmatch(page)
			if value == nil {
				return fmt.Errorf("netdata has no dimension %s for port 8388:\n%s", dimension, page)
			}
			if value[1] != fmt.Sprint(want) {
				return fmt.Errorf("netdata says %s bytes were %s, the interface %d", value[1], dimension, want)
			}
		}
		return nil
	})

	t.Run("also where Netdata is installed later", func(t *testing.T) {
		b.run(t, "gpasswd", "--delete", "netdata", "ssmonitor")
		b.run(t, "dpkg-trigger", "--by-package=netdata-core", "/usr/lib/netdata/plugins.d")
		b.run(t, "dpkg", "--triggers-only", "ssmonitor")
		if groups := b.run(t, "id", "--name", "--groups", "netdata"); !strings.Contains(groups, "ssmonitor") {
			t.Errorf("netdata is in the groups %s", groups)
		}
	})
}
