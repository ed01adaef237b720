package prometheus

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
)

// webFiles writes a key with its certificate for 127.0.0.1, and web configurations
// that name them.
func webFiles(t *testing.T) (directory string, roots *x509.CertPool) {
	t.Helper()
	directory = t.TempDir()
	certificate := testkit.Certificate(t, directory)
	const pair = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
	// The password is "secret": bcrypt with the least cost.
	const users = "basic_auth_users: {prometheus: $2a$04$3PeJc8qM/hHzAheIrWAQfuMtsRQYGQes4McVLc8DRiGsJDJcYmjPC}\n"
	for name, content := range map[string]string{
		"tls.yml":       pair,
		"users.yml":     users,
		"both.yml":      pair + users,
		"mutual.yml":    strings.TrimSuffix(pair, "}\n") + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: cert.pem}\n",
		"given.yml":     strings.TrimSuffix(pair, "}\n") + ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: cert.pem}\n",
		"any.yml":       strings.TrimSuffix(pair, "}\n") + ", client_auth_type: RequireAnyClientCert}\n",
		"empty.yml":     "",
		"unknown.yml":   "tls: {}\n",
		"missing.yml":   "tls_server_config: {cert_file: nowhere.pem, key_file: key.pem}\n",
		"plaintext.yml": "basic_auth_users: {prometheus: secret}\n",
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return directory, roots
}

func TestWebConfigSaysWhatAListenerLacks(t *testing.T) {
	directory, _ := webFiles(t)
	listen := func(network, address string) net.Listener {
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}
	loopback, all := listen("tcp", "127.0.0.1:0"), listen("tcp", ":0")
	socket := listen("unix", filepath.Join(t.TempDir(), "socket"))
	for _, c := range []struct{ file, want string }{
		{"", "TLS and authentication"}, {"empty.yml", "TLS and authentication"}, {"tls.yml", "authentication"},
		{"users.yml", "TLS"}, {"both.yml", ""}, {"mutual.yml", ""}, {"given.yml", "authentication"},
		{"any.yml", "authentication"}, // any certificate will do
	} {
		var config *serving.WebConfig
		if c.file != "" {
			var err error
			if config, err = serving.OpenWebConfig(filepath.Join(directory, c.file)); err != nil {
				t.Errorf("%s: %v", c.file, err)
				continue
			}
		}
		if got := config.Exposure(all); got != c.want {
			t.Errorf("%s: got %q, want %q", c.file, got, c.want)
		}
		if got := config.Exposure(loopback) + config.Exposure(socket); got != "" {
			t.Errorf("%s: a local listener lacks %q", c.file, got)
		}
	}
	for _, file := range []string{"unknown.yml", "missing.yml", "plaintext.yml", "nowhere.yml"} {
		if _, err := serving.OpenWebConfig(filepath.Join(directory, file)); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error that names the file", file, err)
		}
	}
}

// The toolkit quotes what it does not understand, and its bcrypt the first character of
// a password that is no hash.
func TestWebConfigShowsNoValue(t *testing.T) {
	const secret = "hunter2"
	directory, _ := webFiles(t)
	const pair = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
	for _, test := range []struct{ content, want string }{
		{"basic_auth_users: hunter2\n", "line 1"},
		{"basic_auth_users: a`hunter2\n", "line 1"},
		{"basic_auth_users: {alice: hunter2}\n", ""},
		{"basic_auth_users: {alice: \"hunter2 " + strings.Repeat("x", 60) + "\"}\n", ""},
		{pair + "  min_version: hunter2\n", "line 4, column 16: "},
		{pair + "  client_auth_type: hunter2\n", "line 4, column 21: invalid ClientAuth"},
		{pair + "  cipher_suites: [hunter2]\n", "line 4, column 19: "},
		{pair + "  curve_preferences: [hunter2]\n", "line 4, column 23: "},
		{pair + "http_server_config: {headers: {X-Frame-Options: hunter2}}\n", "X-Frame-Options"},
		{pair + "http_server_config: {headers: {hunter2: a}}\n", "can not be configured"},
		{pair + "http_server_config: {http2: hunter2}\n", "line 4"},
		{"rate_limit: {burst: hunter2}\n", "line 1"},
		{"hunter2: 1\n", "line 1, column 1: "},
		{"basic_auth_users: *hunter2\n", ""},
		{"basic_auth_users: {? [hunter2] : a}\n", ""},
		{"basic_auth_users: 'hunter2\n", "line 1, column 19: want YAML"},
		{"hunter2\n", "line 1"},
		{"- hunter2\n", "line 1"},
	} {
		path := filepath.Join(directory, "wrong.yml")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := serving.OpenWebConfig(path)
		if err == nil || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.content, err, test.want)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "'h'") || strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the value is shown: %v", test.content, err)
		}
	}
}

// serveTCP serves metrics on loopback until the test ends.
func serveTCP(t *testing.T, serve func(context.Context, net.Listener) error) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v, want nil", err)
		}
	})
	return listener.Addr().String()
}

func TestWebConfigServes(t *testing.T) {
	directory, roots := webFiles(t)
	config, err := serving.OpenWebConfig(filepath.Join(directory, "both.yml"))
	if err != nil {
		t.Fatal(err)
	}
	handler := NewHandler(sampleMetrics(sampleMetered(), true), sample.AtNoon)
	address := serveTCP(t, func(ctx context.Context, listener net.Listener) error {
		return config.Serve(ctx, listener, handler, testkit.Quiet())
	})
	get := func(t *testing.T, scheme, user, password string, config *tls.Config) (int, error) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		response, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, errors.Join(err, response.Body.Close())
	}
	for _, c := range []struct {
		name, scheme, user, password string
		tls                          *tls.Config
		want                         int // 0: the handshake fails
	}{
		{"as Prometheus does", "https", "prometheus", "secret", &tls.Config{RootCAs: roots}, http.StatusOK},
		{"without a password", "https", "", "", &tls.Config{RootCAs: roots}, http.StatusUnauthorized},
		{"with a wrong password", "https", "prometheus", "guess", &tls.Config{RootCAs: roots}, http.StatusUnauthorized},
		{"as another user", "https", "root", "secret", &tls.Config{RootCAs: roots}, http.StatusUnauthorized},
		{"without TLS", "http", "prometheus", "secret", nil, http.StatusBadRequest},
		{"with TLS 1.1", "https", "prometheus", "secret", &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0},
		{"with a weak cipher", "https", "prometheus", "secret", &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := get(t, c.scheme, c.user, c.password, c.tls)
			if got != c.want || (err != nil) != (c.want == 0) {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

// TestEncryptedScrapeDespiteIdleConnections has clients that don't begin with TLS, and
// some that send no request after it. Another client is served soon, and by HTTP/1: over
// HTTP/2, one connection could hold hundreds of responses.
func TestEncryptedScrapeDespiteIdleConnections(t *testing.T) {
	directory, roots := webFiles(t)
	config, err := serving.OpenWebConfig(filepath.Join(directory, "tls.yml"))
	if err != nil {
		t.Fatal(err)
	}
	source := sampleMetered()
	source.report = sample.ManyPorts(5000)
	handler := NewHandler(sampleMetrics(source, true), time.Now)
	address := serveTCP(t, func(ctx context.Context, listener net.Listener) error {
		return config.Serve(ctx, listener, handler, testkit.Quiet())
	})
	for range 200 {
		connection, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		if got := connection.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Fatalf("got protocol %q, want http/1.1", got)
		}
	}
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	connectAll(t, tcp, "")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: soon}).Get("https://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	size, err := io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK || size < 1<<20 {
		t.Errorf("got %s and %d bytes: %v", response.Status, size, err)
	}
}

// TestMetricsUnderAttack sends what no scraper sends, over and over. Afterwards
// nothing of it is left, and the metrics are still served.
func TestMetricsUnderAttack(t *testing.T) {
	source := sampleMetered()
	source.report = sample.ManyPorts(2000)
	handler := NewHandler(sampleMetrics(source, true), time.Now)
	limits := serving.Limits{Request: 200 * time.Millisecond, Response: time.Second, Shutdown: time.Second, Stall: time.Second, Patience: time.Second, Connections: 64}
	address := serveTCP(t, func(ctx context.Context, listener net.Listener) error {
		return serving.ServeWithin(ctx, listener, handler, testkit.Quiet(), limits)
	})
	scrapeOnce := func() error {
		response, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return err
		}
		size, err := io.Copy(io.Discard, response.Body)
		if response.StatusCode != http.StatusOK || size < 1<<20 {
			err = fmt.Errorf("got %s and %d bytes: %w", response.Status, size, err)
		}
		return errors.Join(err, response.Body.Close())
	}
	if err := scrapeOnce(); err != nil {
		t.Fatal(err)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)

	attacks := map[string]string{
		"huge header":          "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 64<<10) + "\r\n\r\n",
		"many headers":         "GET /metrics HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 10000) + "\r\n",
		"huge path":            "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"unfinished request":   "GET /metrics HTTP/1.1\r\nHost: x\r\n",
		"slow body":            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx",
		"endless chunks":       "GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
		"smuggled request":     "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"odd method":           "BREW /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"connect":              "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
		"options of all":       "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"absolute address":     "GET http://example.com/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"path trick":           "GET /metrics/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"encoded path trick":   "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"double slash":         "GET //metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"broken escape":        "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/2 without TLS":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"upgrade":              "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"TLS without TLS":      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"zeros":                strings.Repeat("\x00", 4096),
		"nothing":              "",
		"a page nobody takes":  "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"many ranges":          "GET /metrics HTTP/1.1\r\nHost: x\r\nRange: bytes=" + strings.Repeat("0-1,", 500) + "\r\n\r\n",
		"expect":               "GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
		"many media types":     "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: " + strings.Repeat("a/b;q=0.1,", 300) + "\r\n\r\n",
		"HTTP/0.9":             "GET /metrics\r\n\r\n",
		"HTTP/1.0 and no host": "GET /metrics HTTP/1.0\r\n\r\n",
	}
	var attackers sync.WaitGroup
	for name, request := range attacks {
		for range 8 {
			attackers.Go(func() {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				defer func() { _ = connection.Close() }()
				if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(connection, request) // the server may have closed already
				if name == "a page nobody takes" {
					time.Sleep(2 * limits.Response) // the client's slowness is what is tested
					return
				}
				answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
				if err != nil {
					return // refused without an answer
				}
				defer func() { _ = answer.Body.Close() }()
				content, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
				if answer.StatusCode == http.StatusOK && !bytes.HasPrefix(content, []byte("# HELP ssmonitor_port_bytes_total")) {
					t.Errorf("%s: got %s\n%.200s", name, answer.Status, content)
				}
			})
		}
	}
	attackers.Wait()
	testkit.Until(t, "the metrics are served again", func() bool { return scrapeOnce() == nil })
	http.DefaultClient.CloseIdleConnections()
	testkit.Until(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	testkit.Until(t, "all files are closed", func() bool { return openFiles(t) <= files })
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestManySlowScrapersDelayNoReading lets 200 clients scrape, half of them without
// taking the response, while a reader reads on. Memory stays bounded.
func TestManySlowScrapersDelayNoReading(t *testing.T) {
	source := sampleMetered()
	source.report = sample.ManyPorts(10000) // a page of 10 MB
	source.month.Rows = nil
	handler := NewHandler(sampleMetrics(source, true), time.Now)
	limits := serving.Limits{Request: time.Second, Response: 3 * time.Second, Shutdown: time.Second, Stall: 3 * time.Second, Patience: time.Second, Connections: 64}
	address := serveTCP(t, func(ctx context.Context, listener net.Listener) error {
		return serving.ServeWithin(ctx, listener, handler, testkit.Quiet(), limits)
	})
	began := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	var scrapers sync.WaitGroup
	for i := range 200 {
		scrapers.Go(func() {
			for ctx.Err() == nil {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					continue
				}
				_, _ = io.WriteString(connection, "GET /metrics HTTP/1.0\r\n\r\n")
				if i%2 == 0 {
					<-ctx.Done()
				} else {
					_ = connection.SetDeadline(time.Now().Add(time.Second))
					_, _ = io.Copy(io.Discard, connection)
				}
				_ = connection.Close()
			}
		})
	}
	var peak uint64
	var memory runtime.MemStats
	for ctx.Err() == nil {
		runtime.ReadMemStats(&memory)
		peak = max(peak, memory.HeapInuse)
		time.Sleep(50 * time.Millisecond) // the interval of a gauge
	}
	scrapers.Wait()
	// 64 clients that each held a page of their own would take 640 MB. Each of
	// the seconds may leave one page to those that are slow.
	if peak > 250<<20 {
		t.Errorf("the heap grew to %d MB", peak>>20)
	}
	took := time.Since(began) // the last responses end later on a busy machine
	if readings := source.readings.Load(); readings > int64(took/time.Second)+2 {
		t.Errorf("got %d readings in %s, want one per second", readings, took)
	}
	t.Logf("peak of the heap %d MB, %d readings", peak>>20, source.readings.Load())
}
