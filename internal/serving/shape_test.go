package serving

import (
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// TestWebConfigMistakesAreInItsOwnWords has values of the wrong kind, and keys that do not
// exist.
func TestWebConfigMistakesAreInItsOwnWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	for _, test := range []struct{ text, want string }{
		{"[hunter2]", "line 1, column 1: want keys with values, found a list"},
		{"tls_server_config: [hunter2]", "line 1, column 20: key tls_server_config: want keys with values, found a list"},
		{"basic_auth_users: [hunter2]", "line 1, column 19: key basic_auth_users: want keys with values, found a list"},
		{"basic_auth_users:\n  hunter2: [hunter2]", "line 2, column 12: key basic_auth_users: want a text, found a list"},
		{"basic_auth_user: {a: hunter2}", `line 1, column 1: unknown key "basic_auth_user" (did you mean basic_auth_users?)`},
		{"tls_server_config:\n  cert_fil: hunter2", `line 2, column 3: key tls_server_config: unknown key "cert_fil" (did you mean cert_file?)`},
		{"tls_server_config: {cert_file: [hunter2]}", "line 1, column 32: key tls_server_config: key cert_file: want a text, found a list"},
		{"tls_server_config: {min_version: [hunter2]}", "key min_version: want a text, found a list"},
		{"tls_server_config: {cipher_suites: hunter2}", "key cipher_suites: want a list, found a text"},
		{"tls_server_config: {cipher_suites: [[hunter2]]}", "key cipher_suites: want a text, found a list"},
		{"http_server_config: {http2: hunter2}", "key http2: want true or false, found a text"},
		{"rate_limit: 3", "line 1, column 13: key rate_limit: want keys with values, found 3"},
		{"rate_limit: {burst: hunter2}", "key burst: want a number, found a text"},
		{"rate_limit: {interval: hunter2}", "key interval: want a duration with its unit, such as 1s, found a text"},
		{"<<: {hunter2: 1}", "a value that stands after a tag (!) or elsewhere (&, *, <<) is none that its key can have"},
		{"rate_limit: {burst: &a hunter2}", "a value that stands after a tag (!) or elsewhere (&, *, <<) is none that its key can have"},
		{"rate_limit: {burst: !hunter2 x}", "a value that stands after a tag (!) or elsewhere (&, *, <<) is none that its key can have"},
	} {
		testkit.WriteFile(t, path, test.text)
		_, err := OpenWebConfig(path)
		if err == nil || !strings.HasSuffix(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want %s", test.text, err, test.want)
		}
	}
	for _, right := range []string{
		"", "tls_server_config:\n", "http_server_config: {http2: no, headers: {X-Frame-Options: deny}}\n", "rate_limit: {burst: 3, interval: 1s}\n",
		"rate_limit: &limit {burst: 3}\nhttp_server_config:\n  http2: On\n",
	} {
		testkit.WriteFile(t, path, right)
		if _, err := OpenWebConfig(path); err != nil {
			t.Errorf("%q: %v", right, err)
		}
	}
}
