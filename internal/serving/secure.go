package serving

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"

	"ssmonitor/internal/configfile"
	"ssmonitor/internal/safeyaml"
)

// WebConfig is a web configuration file of the Prometheus exporters: TLS,
// passwords and limits for /metrics.
type WebConfig struct {
	path                    string
	encrypted, authenticate bool
}

// OpenWebConfig checks the file, its certificates and its passwords.
func OpenWebConfig(path string) (*WebConfig, error) {
	content, err := configfile.Read(path, safeyaml.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("reading the web configuration: %w", err)
	}
	if err := safeyaml.Read(content, func(root safeyaml.Node) error {
		if mistake := fits(root, reflect.TypeFor[web.Config]()); mistake != nil {
			return mistake
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading the web configuration: %s: %w", path, err)
	}
	if err := safeyaml.Guard(content, func() error { return web.Validate(path) }); err != nil {
		if strings.Contains(err.Error(), "unmarshal") { // of what fits can't see
			err = errors.New("a value that stands after a tag (!) or elsewhere (&, *, <<) is none that its key can have")
		}
		return nil, fmt.Errorf("reading the web configuration: %s: %s", path, safeyaml.Conceal(content, err.Error(), isPath))
	}
	// The toolkit, which has accepted the file, does not export what is in it.
	var parts struct {
		TLS   map[string]any `yaml:"tls_server_config"`
		Users map[string]any `yaml:"basic_auth_users"`
	}
	if err := safeyaml.Decode(content, &parts); err != nil {
		return nil, fmt.Errorf("reading the web configuration: %s: %w", path, err)
	}
	policy, _ := parts.TLS["client_auth_type"].(string)
	return &WebConfig{
		path:         path,
		encrypted:    len(parts.TLS) > 0,
		authenticate: len(parts.Users) > 0 || policy == "RequireAndVerifyClientCert",
	}, nil
}

// isPath reports whether the values of a key of the web configuration are paths.
func isPath(key string) bool { return strings.HasSuffix(key, "_file") }

// Exposure says what a listener without further protection lacks: it returns the
// empty string if only this host reaches it, or if it has TLS and authenticates
// its clients. The configuration may be nil.
func (c *WebConfig) Exposure(listener net.Listener) string {
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok || address.IP.IsLoopback() {
		return ""
	}
	switch encrypted, authenticates := c != nil && c.encrypted, c != nil && c.authenticate; {
	case encrypted && authenticates:
		return ""
	case encrypted:
		return "authentication"
	case authenticates:
		return "TLS"
	}
	return "TLS and authentication"
}
