package shadowsocks

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"ssmonitor/accounting"
)

// Form is what a configuration was recognised as, in words for people.
type Form string

// The forms, named after the program or the keys that identify them.
const (
	FormSingle            Form = "server_port"
	FormList              Form = "list of server_port"
	FormPortPassword      Form = "port_password"
	FormShadowsocksR      Form = "ShadowsocksR"
	FormShadowsocksRUsers Form = "ShadowsocksR, multi-user"
	FormServers           Form = "servers of shadowsocks-rust"
	FormOutlineManager    Form = "Outline"
	FormOutlineServer     Form = "outline-ss-server"
	FormSingBox           Form = "sing-box"
	FormXray              Form = "Xray or V2Ray"
	Form3XUI              Form = "3x-ui"
	FormSUI               Form = "s-ui"
	FormShadowsocksGo     Form = "shadowsocks-go"
	FormGost              Form = "gost"
	FormMihomo            Form = "mihomo"
)

// Options says how configurations are read.
type Options struct {
	// Host distinguishes a server's configuration from a client's.
	Host Host
	// ForceServer reads every configuration as a server's.
	ForceServer bool
	// AnyProtocol also takes the ports of other protocols, such as VLESS, from
	// the configurations of programs that serve several.
	AnyProtocol bool
	// Progress is called before each file is read; it may be nil.
	Progress func()
}

// Config is what a server's configuration says about ports.
type Config struct {
	Path string // of the file; empty after Parse
	Form Form
	// Ports in the order of the file. A port can be there twice;
	// [accounting.Union] merges.
	Ports []accounting.Port
	// Notes are worth knowing though nothing failed, such as a port that
	// several users share.
	Notes []string

	additional     []accounting.Port // of ShadowsocksR, open in multi-user mode only
	additionalOnly bool
}

// reader reads one form. It is found by its keys.
type reader struct {
	form    Form
	matches func(root node) bool
	read    func(c *collector, root node) error
	// needle is a key that gives the form away where the file can't be parsed.
	needle string
}

// readers are in the order in which they are tried. The last one takes any
// object.
var readers = []reader{
	{FormShadowsocksRUsers, isMultiUser, readMultiUser, `"transfer_enable"`},
	{FormOutlineManager, isOutlineManager, readOutlineManager, `"accessKeys"`},
	{FormOutlineServer, isOutlineServer, readOutlineServer, "secret:"},
	{FormGost, isGost, readGost, "handler"},
	{FormMihomo, isMihomo, readMihomo, "proxies:"},
	{FormSingBox, isSingBox, readSingBox, `"listen_port"`},
	{FormXray, isXray, readXray, `"inbounds"`},
	{FormShadowsocksGo, isShadowsocksGo, readShadowsocksGo, `"tcpListeners"`},
	{FormServers, isServers, readBasic, `"servers"`},
	{FormPortPassword, hasPortPassword, readBasic, `"port_password"`},
	{FormSingle, isObject, readBasic, "server_port"},
}

func isObject(root node) bool        { return root.is(kindObject) }
func isServers(root node) bool       { return root.has("servers", "shadowsocks") }
func hasPortPassword(root node) bool { return root.has("port_password") }

// Parse reads a configuration from memory, in any form but a database. It fails
// with ErrClient, ErrNoPorts, ErrFormat, a *SyntaxError or a *ValueError.
func Parse(data []byte, options Options) (Config, error) {
	root, isYAML, err := decode(data)
	if err != nil {
		return Config{}, err
	}
	if root.kind != kindObject && root.kind != kindList {
		return Config{}, &ValueError{"the file", string(root.kind), "an object, {...}"}
	}
	top := node{value: &root}
	for _, reader := range readers {
		if !reader.matches(top) {
			continue
		}
		c := collector{options: options, form: reader.form}
		err := reader.read(&c, top)
		if isYAML && isBasic(c.form) && (err == nil || !errors.Is(err, ErrNoPorts)) && top.has("server_port", "port_password", "servers") {
			return Config{}, fmt.Errorf("this is YAML: %w; the servers with a server_port or port_password read JSON", ErrFormat)
		}
		var config Config
		if err == nil {
			config, err = c.config()
		}
		if err != nil && !isBasic(c.form) {
			err = fmt.Errorf("as %s: %w", c.form, err)
		}
		return config, err
	}
	return Config{}, &ValueError{"the file", string(root.kind), "an object, {...}"}
}

func isBasic(form Form) bool {
	return slices.Contains([]Form{FormSingle, FormList, FormPortPassword, FormServers, FormShadowsocksR}, form)
}

// decode reads a file as JSON5 or, if it does not begin as JSON does, as YAML.
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

// lookingLike adds to an error of syntax the form that the file looks like.
func lookingLike(data []byte, err error) error {
	if err == nil {
		return nil
	}
	for _, reader := range readers {
		if bytes.Contains(data, []byte(reader.needle)) {
			if isBasic(reader.form) {
				return fmt.Errorf("%w; it looks like a configuration with %s", err, reader.form)
			}
			return fmt.Errorf("%w; it looks like a configuration of %s", err, reader.form)
		}
	}
	return err
}

const (
	// maxPorts is every port once for TCP and once for UDP. It keeps a file of many
	// wide ranges from taking all memory.
	maxPorts = 2 * 65535
	// maxNotes is the most notes of a file, which a hostile one has for each server.
	maxNotes = 16
)

// collector gathers what a reader finds.
type collector struct {
	options Options
	form    Form
	ports   []accounting.Port
	notes   few
	reasons few            // why there may be no port
	users   map[uint16]int // behind a port
	others  few            // ports of other protocols, as 443 (vless)
	blank   few            // places whose name can't be seen, as servers[0] (U+3164)

	additional     []accounting.Port
	additionalOnly bool
}

// add adds a port, with its name cleaned.
func (c *collector) add(place string, number uint16, protocols accounting.Protocols, name string) error {
	if len(c.ports) == maxPorts {
		return &ValueError{place, "one port too many", "at most 131070 ports"}
	}
	c.ports = append(c.ports, accounting.Port{Number: number, Protocols: protocols, Name: c.cleanName(place, name)})
	return nil
}

// cleanName returns the name of a client of the place, cleaned. It is a copy, since a
// part of a text would keep the whole of it in memory. If nothing of it can be seen, a
// note will mention the place: the port counts without a name.
func (c *collector) cleanName(place, text string) string {
	name := strings.Clone(accounting.CleanName(text))
	if shown := strings.TrimSpace(text); name == "" && shown != "" {
		first, _ := utf8.DecodeRuneInString(shown)
		if at := fmt.Sprintf("%s (%U)", place, first); !slices.Contains(c.blank.texts, at) {
			c.blank.add(maxShown, "%s", at)
		}
	}
	return name
}

func (c *collector) note(format string, arguments ...any) {
	c.notes.add(maxNotes, format, arguments...)
}

// missing records why a part of the configuration gives no port.
func (c *collector) missing(format string, arguments ...any) {
	c.reasons.add(maxNotes, format, arguments...)
}

// share counts users behind a port.
func (c *collector) share(number uint16, users int) {
	if c.users == nil {
		c.users = make(map[uint16]int)
	}
	c.users[number] += users
}

// otherProtocols are those that a note names. Any other word might be a password in the
// wrong place.
var otherProtocols = []string{
	"anytls", "direct", "dns", "dokodemo-door", "http", "http2", "hysteria", "hysteria2", "masque", "mieru", "mixed",
	"mtproto", "naive", "none", "redir", "redirect", "relay", "shadowtls", "shadowsocksr", "sni", "snell", "socks", "socks4",
	"socks5", "ss", "sshd", "sudoku", "tcp", "tproxy", "trojan", "trojan-go", "trusttunnel", "tuic", "tun", "tunnel",
	"udp", "vless", "vmess", "wireguard",
}

// otherProtocol reports whether a port of the protocol is omitted. If so, a note
// will mention the port.
func (c *collector) otherProtocol(protocol, port string) bool {
	if c.options.AnyProtocol {
		return false
	}
	if !slices.Contains(otherProtocols, strings.ToLower(protocol)) {
		protocol = "another protocol"
	}
	c.others.add(maxShown, "%s (%s)", port, protocol)
	return true
}

// config returns what was gathered, or ErrNoPorts.
func (c *collector) config() (Config, error) {
	if len(c.others.texts) > 0 {
		others := fmt.Sprintf("not counted, since it is not Shadowsocks: %s; --any-protocol counts all", c.others)
		if len(c.ports) == 0 {
			c.missing("%s", others)
		} else {
			c.note("%s", others)
		}
	}
	if len(c.blank.texts) > 0 {
		c.note("counted without a name, since nothing of it can be seen: %s", c.blank)
	}
	if len(c.ports) == 0 {
		if reasons := append(c.reasons.all(), c.notes.all()...); len(reasons) > 0 {
			return Config{}, fmt.Errorf("%w: %s", ErrNoPorts, strings.Join(reasons, "; "))
		}
		if !isBasic(c.form) {
			return Config{}, ErrNoPorts
		}
		return Config{}, fmt.Errorf("%w: want server_port, port_password, servers, inbounds, services or listeners", ErrNoPorts)
	}
	notes := append(c.notes.all(), c.reasons.all()...)
	var shared few
	for _, number := range slices.Sorted(maps.Keys(c.users)) {
		if users := c.users[number]; users > 1 {
			shared.add(maxShown, "%d (%d users)", number, users)
		}
	}
	if len(shared.texts) > 0 {
		notes = append(notes, fmt.Sprintf("several users share a port and can't be told apart by its counters: %s", shared))
	}
	return Config{
		Form: c.form, Ports: slices.Clone(c.ports), Notes: notes, additional: c.additional, additionalOnly: c.additionalOnly,
	}, nil
}

// maxShown is the most ports that a note names.
const maxShown = 8

// few holds the first of many texts, and how many more there were.
type few struct {
	texts []string
	more  int
}

// add adds a text, unless most are there already.
func (f *few) add(most int, format string, arguments ...any) {
	if len(f.texts) == most {
		f.more++
		return
	}
	f.texts = append(f.texts, fmt.Sprintf(format, arguments...))
}

// all returns the texts, and one for those that were not kept.
func (f few) all() []string {
	if f.more == 0 {
		return slices.Clip(f.texts)
	}
	return append(slices.Clip(f.texts), fmt.Sprintf("and %d more such notes", f.more))
}

// String joins the texts.
func (f few) String() string {
	if f.more == 0 {
		return strings.Join(f.texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(f.texts, ", "), f.more)
}
