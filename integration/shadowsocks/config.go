package shadowsocks

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"ssmonitor/accounting"
)

// Options says how configurations are read.
type Options struct {
	// Host distinguishes a server's configuration from a client's.
	Host LocalHost
	// ForceServer reads every configuration as a server's.
	ForceServer bool
	// AnyProtocol also takes the ports of other protocols, such as VLESS, from
	// the configurations of programs that serve several.
	AnyProtocol bool
	// Progress is called before each file is looked at, and read; it may be nil.
	Progress func()
}

// Config is what a server's configuration says about ports.
type Config struct {
	Path string // of the file
	Form *Form
	// Ports in the order of the file. A port can be there twice;
	// [accounting.Union] merges.
	Ports []accounting.Port
	// Notes are worth knowing though nothing failed, such as a port that
	// several users share.
	Notes []string

	additional []accounting.Port // of ShadowsocksR, open in multi-user mode only
}

// decoded is what is in a file.
type decoded struct {
	root   value
	isYAML bool
}

// config returns what the file says about ports, as a part.
func (d decoded) config(part Part, options Options) (Config, error) {
	root := d.root
	if root.kind != kindObject && root.kind != kindList {
		return Config{}, &ValueError{"the file", string(root.kind), "an object, {...}"}
	}
	top := node{value: &root}
	if err := refuseLists(top); err != nil {
		return Config{}, err
	}
	if config, is, err := readForeign(top, options); is {
		return config, err
	}
	for _, reader := range readers {
		if !reader.matches(top) {
			continue
		}
		c := collector{options: options, part: part, form: reader.form}
		reader.read(&c, top.with(&c.mistakes))
		if d.isYAML && c.form.basic && !errors.Is(c.mistakes.first, ErrNoPorts) && top.has("server", "server_port", "port_password", "servers") {
			return Config{}, fmt.Errorf("this is YAML: %w; the servers with a server_port or port_password read JSON", ErrFormat)
		}
		config, err := c.config()
		if err != nil && !c.form.basic {
			err = fmt.Errorf("as %s: %w", c.form.Program, err)
		}
		return config, c.asPart(top, err)
	}
	return Config{}, &ValueError{"the file", string(root.kind), "an object, {...}"}
}

// decode reads a file as JSON5 or, if it does not begin as JSON does, in lines or as YAML.
func decode(data []byte) (root value, isYAML bool, err error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(text) == 0 {
		return value{}, false, fmt.Errorf("the file is empty: %w", ErrFormat)
	}
	if isUTF16(data) {
		return value{}, false, fmt.Errorf("this is UTF-16: %w, encoded as UTF-8", ErrFormat)
	}
	if bytes.HasPrefix(data, []byte("SQLite format 3\x00")) {
		return value{}, false, fmt.Errorf("this is a database: %w; Marzban and Marzneshin keep the inbounds in xray_config.json", ErrFormat)
	}
	for _, scheme := range []string{"ss://", "ssr://", "ssconf://"} {
		if bytes.HasPrefix(text, []byte(scheme)) {
			return value{}, false, fmt.Errorf("this is a link for clients, %s...: %w", scheme, ErrFormat)
		}
	}
	root, err = parseJSON5(data)
	if err != nil && bytes.Contains(data, []byte(`"inbounds"`)) {
		root, err = parseJSON(data, true)
	}
	if err == nil || bytes.IndexByte([]byte("{[/"), text[0]) >= 0 {
		return root, false, lookingLike(data, err)
	}
	if root, found := parseLines(text); found {
		return root, false, nil
	}
	if !looksLikeYAML(text) {
		return root, false, err
	}
	root, yamlErr := parseYAML(data)
	if yamlErr == nil && root.kind == kindText {
		return root, false, err
	}
	return root, true, lookingLike(data, yamlErr)
}

// looksLikeYAML reports whether the text begins as a mapping, a list, a comment
// or a document of YAML does.
func looksLikeYAML(text []byte) bool {
	if bytes.HasPrefix(text, []byte("---")) || bytes.HasPrefix(text, []byte("%YAML")) {
		return true
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return bytes.Contains(line, []byte(": ")) || bytes.HasSuffix(line, []byte(":")) || bytes.HasPrefix(line, []byte("- "))
	}
	return false
}

func isUTF16(data []byte) bool {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return true
	}
	return len(data) >= 4 && utf8.Valid(data[:2]) && (data[0] == 0) != (data[1] == 0) && (data[2] == 0) == (data[0] == 0)
}
