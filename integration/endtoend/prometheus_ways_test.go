package endtoend_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// webConfiguration asks for TLS and the password "secret", by bcrypt.
const webConfiguration = `
tls_server_config: {cert_file: cert.pem, key_file: key.pem}
basic_auth_users: {prometheus: $2a$04$3PeJc8qM/hHzAheIrWAQfuMtsRQYGQes4McVLc8DRiGsJDJcYmjPC}
`

// TestPrometheusByOtherWays takes the same totals four ways to Prometheus and on:
// over TLS with a password, by node_exporter, from Prometheus in agent mode to
// VictoriaMetrics, and without names.
func TestPrometheusByOtherWays(t *testing.T) {
	require(t, "prometheus", "prometheus-node-exporter", "victoria-metrics", "curl", "ss")
	t.Parallel()
	server := newServer(t)
	directory := sharedDirectory(t)
	testkit.Certificate(t, directory)
	testkit.ReplaceFile(t, filepath.Join(directory, "web.yml"), webConfiguration)
	textfiles := filepath.Join(directory, "textfiles")
	testkit.MakeDirectory(t, textfiles)
	textfile := filepath.Join(textfiles, "ssmonitor.prom")
	agent := server.startAgent(t, "--save-interval", "200ms", "--port", "20000=alice", "--port", "20001",
		"--textfile", textfile)
	server.startMetrics(t, "127.0.0.1", "--web-config", filepath.Join(directory, "web.yml"))
	agent.waitSaying(t, "counting")

	const nodePort, victoriaPort = 9100, 8428
	server.start(t, "prometheus-node-exporter", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", nodePort),
		"--collector.disable-defaults", "--collector.textfile", "--collector.textfile.directory="+textfiles)
	server.start(t, "victoria-metrics", fmt.Sprintf("-httpListenAddr=127.0.0.1:%d", victoriaPort), "-memory.allowedBytes=64MiB",
		"-search.latencyOffset=0s", "-storageDataPath="+filepath.Join(directory, "victoria"))
	server.waitListening(t, victoriaPort, "tcp")
	startPrometheus(t, server.namespace, []string{}, fmt.Sprintf(`  - job_name: tls
    scheme: https
    tls_config: {ca_file: %s}
    basic_auth: {username: prometheus, password: secret}
    static_configs: [{targets: ["127.0.0.1:%d"]}]
  - job_name: node
    static_configs: [{targets: ["127.0.0.1:%d"]}]
remote_write: [{url: "http://127.0.0.1:%d/api/v1/write", queue_config: {batch_send_deadline: 300ms}}]
`, filepath.Join(directory, "cert.pem"), metricsPort, nodePort, victoriaPort),
		"--enable-feature=agent", "--storage.agent.path="+filepath.Join(directory, "agent"))

	server.sendToItself(t, 20000, 12)
	server.sendToItself(t, 20001, 5)
	for _, job := range []string{"tls", "node"} {
		for port, datagrams := range map[int]int{20000: 12, 20001: 5} {
			server.waitValue(t, victoriaPort, fmt.Sprintf(`sum(ssmonitor_port_bytes_total{job="%s",port="%d"})`, job, port), float64(datagrams*datagram))
		}
	}
	server.waitValue(t, victoriaPort, `node_textfile_scrape_error`, 0)
	server.waitValue(t, victoriaPort, `sum(ssmonitor_port_bytes_total{job="tls",name="alice"})`, 12*datagram)

	// The socket of the group has the metrics too.
	page := server.run(t, "curl", "--silent", "--unix-socket", server.socket(), "http://ssmonitor/metrics")
	if !strings.Contains(page, fmt.Sprintf(`ssmonitor_port_bytes_total{port="20000",name="alice",proto="udp",direction="in"} %d`, 12*datagram/2)) {
		t.Errorf("the socket serves\n%s", page)
	}
	agent.stop(t)
	if _, err := os.Stat(textfile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a clean exit the textfile is still there: %v", err)
	}

	nameless := server.startAgent(t, "--port", "20000=alice", "--metrics-names=no")
	nameless.waitSaying(t, "counting")
	page = server.run(t, "curl", "--silent", "--unix-socket", server.socket(), "http://ssmonitor/metrics")
	if strings.Contains(page, "alice") || !strings.Contains(page, fmt.Sprintf(`ssmonitor_port_month_bytes{port="20000",direction="in"} %d`, 12*datagram/2)) {
		t.Errorf("without names, the socket serves\n%s", page)
	}
}
