package serving_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/serving"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
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
		testkit.WriteFile(t, filepath.Join(directory, name), content)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return directory, roots
}

func TestWebConfigSaysWhatAListenerLacks(t *testing.T) {
	directory, _ := webFiles(t)
	loopback, socket := servingtest.ListenTCP(t), servingtest.Listen(t, filepath.Join(t.TempDir(), "socket"))
	all, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close() //nolint:errcheck // nothing connected
	for _, c := range []struct{ file, want string }{
		{"", "TLS and authentication"}, {"empty.yml", "TLS and authentication"}, {"tls.yml", "authentication"},
		{"users.yml", "TLS"}, {"both.yml", ""}, {"mutual.yml", ""}, {"given.yml", "authentication"},
		{"any.yml", "authentication"}, // any certificate will do
	} {
		var config *serving.WebConfig
		if c.file != "" {
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
		testkit.WriteFile(t, path, test.content)
		_, err := serving.OpenWebConfig(path)
		if err == nil || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.content, err, test.want)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "'h'") || strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the value is shown: %v", test.content, err)
		}
	}
}

func TestWebConfigServes(t *testing.T) {
	directory, roots := webFiles(t)
	config, err := serving.OpenWebConfig(filepath.Join(directory, "both.yml"))
	if err != nil {
		t.Fatal(err)
	}
	listener := servingtest.ListenTCP(t)
	servingtest.Run(t, listener, serving.Server{Handler: page(small), Web: config, Limits: serving.DefaultLimits()})
	get := func(t *testing.T, scheme, user, password string, config *tls.Config) (int, error) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+listener.Addr().String(), nil)
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

// TestEncryptedRequestDespiteIdleConnections has clients that don't begin with TLS, and
// some that send no request after it. Another client is served soon, and by HTTP/1: over
// HTTP/2, one connection could hold hundreds of responses.
func TestEncryptedRequestDespiteIdleConnections(t *testing.T) {
	directory, roots := webFiles(t)
	config, err := serving.OpenWebConfig(filepath.Join(directory, "tls.yml"))
	if err != nil {
		t.Fatal(err)
	}
	listener := servingtest.ListenTCP(t)
	servingtest.Run(t, listener, serving.Server{Handler: page(large), Web: config, Limits: serving.DefaultLimits()})
	for range 200 {
		connection, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		if got := connection.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Fatalf("got protocol %q, want http/1.1", got)
		}
	}
	connectAll(t, listener.Addr(), "")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: soon}).Get("https://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	size, err := io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK || size != large {
		t.Errorf("got %s and %d bytes: %v", response.Status, size, err)
	}
}
