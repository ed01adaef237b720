package serving

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// FuzzWebConfig opens any web configuration. Its errors reach a terminal and the
// journal, so they are one line.
func FuzzWebConfig(f *testing.F) {
	const secret = "$2a$04$3PeJc8qM/hHzAheIrWAQfuMtsRQYGQes4McVLc8DRiGsJDJcYmjPC"
	for _, text := range []string{
		"", "tls: {}", "{", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}", "basic_auth_users: {prometheus: " + secret + "}",
		"basic_auth_users: {prometheus: secret}", "basic_auth_users: [" + secret + "]", "basic_auth_users: \"`secret`\"",
		"tls_server_config:\n  client_auth_type: x\n  min_version: TLS99\nhttp_server_config:\n  http2: \"a\\nb\"\n  headers: {X-Frame-Options: `}",
		"rate_limit: {interval: secret, burst: -1}", "port: !x", "tls_server_config: {cipher_suites: [a], curve_preferences: [b]}",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "web.yml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenWebConfig(path)
		if err != nil && strings.ContainsFunc(err.Error(), testkit.CommandsTerminal) {
			t.Fatalf("not one line: %q", err)
		}
	})
}
