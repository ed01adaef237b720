package shadowsocks

import (
	"bytes"
	"fmt"
	"slices"
)

// Form is what a configuration was recognised as, in words for people.
type Form struct {
	Program string // that reads such a file
	Sign    string // by which it was recognised, as in server_port
}

// String returns the program and the sign.
func (f Form) String() string {
	if f == (Form{}) {
		return ""
	}
	return fmt.Sprintf("%s (by %s)", f.Program, f.Sign)
}

// The forms. None of them changes.
var (
	FormSingle             = Form{"shadowsocks-libev, -rust or -python", "server_port"}
	FormList               = Form{"shadowsocks-python", "a list as server_port"}
	FormPortPassword       = Form{"ss-manager or shadowsocks-python", "port_password"}
	FormPortConf           = Form{"ss-manager of OpenMPTCProuter", "port_key or port_conf"}
	FormShadowsocksRNative = Form{"shadowsocksr-native", "server_settings"}
	FormShadowsocksR       = Form{"ShadowsocksR", "obfs, or objects in port_password"}
	FormShadowsocksRUsers  = Form{"ShadowsocksR, multi-user", "its list of clients, or additional_ports_only"}
	FormOpenWrt            = Form{"shadowsocks-libev of OpenWrt", "config ss_server"}
	FormAssignments        = Form{"go-shadowsocks2 by ss-go.sh", "PORT and CIPHER"}
	FormServers            = Form{"shadowsocks-rust", "servers"}
	FormOutlineManager     = Form{"Outline", "accessKeys"}
	FormOutlineServer      = Form{"outline-ss-server", "keys, or the listeners of its services"}
	FormSingBox            = Form{"sing-box", "the type of its inbounds"}
	FormXray               = Form{"Xray or V2Ray", "the protocol of its inbounds"}
	Form3XUI               = Form{"3x-ui", "its table inbounds"}
	FormSUI                = Form{"s-ui", "its table inbounds"}
	FormShadowsocksGo      = Form{"shadowsocks-go", "how its servers listen"}
	FormGost               = Form{"gost", "the handlers of its services"}
	FormGost2              = Form{"gost 2", "ServeNodes"}
	FormMihomo             = Form{"mihomo", "listeners or ss-config"}
)

// reader reads one form. It is found by its keys.
type reader struct {
	form    Form
	matches func(root node) bool
	read    func(c *collector, root node)
	// needle is a key that gives the form away where the file can't be parsed.
	needle string
}

// readers are in the order in which they are tried. The last one takes any
// object.
var readers = []reader{
	{FormShadowsocksRUsers, isMultiUser, readMultiUser, `"transfer_enable"`},
	{FormOutlineManager, isOutlineManager, readOutlineManager, `"accessKeys"`},
	{FormOutlineServer, isOutlineServer, readOutlineServer, "secret:"},
	{FormGost2, isGost2, readGost2, `"ServeNodes"`},
	{FormGost, isGost, readGost, "handler"},
	{FormMihomo, isMihomo, readMihomo, "proxies:"},
	{FormSingBox, isSingBox, readSingBox, `"listen_port"`},
	{FormXray, isXray, readXray, `"inbounds"`},
	{FormShadowsocksGo, isShadowsocksGo, readShadowsocksGo, `"tcpListeners"`},
	{FormShadowsocksRNative, isNative, readNative, `"server_settings"`},
	{FormOpenWrt, isUCI, readUCI, "config ss_server"},
	{FormAssignments, isAssignments, readAssignments, "CIPHER ="},
	{FormServers, isServers, readBasic, `"servers"`},
	{FormPortPassword, hasPortPassword, readBasic, `"port_password"`},
	{FormPortConf, hasPortConf, readBasic, `"port_conf"`},
	{FormSingle, isObject, readBasic, "server_port"},
}

func isObject(root node) bool        { return root.is(kindObject) }
func isServers(root node) bool       { return root.has("servers", "shadowsocks") }
func hasPortPassword(root node) bool { return root.has("port_password") }
func hasPortConf(root node) bool     { return root.has("port_key", "port_conf") }

func isBasic(form Form) bool {
	return slices.Contains([]Form{FormSingle, FormList, FormPortPassword, FormPortConf, FormServers, FormShadowsocksR}, form)
}

// lookingLike adds to an error of syntax the form that the file looks like.
func lookingLike(data []byte, err error) error {
	if err == nil {
		return nil
	}
	for _, reader := range readers {
		if bytes.Contains(data, []byte(reader.needle)) {
			if isBasic(reader.form) {
				return fmt.Errorf("%w; it looks like a configuration with %s", err, reader.form.Sign)
			}
			program := reader.form.Program
			if reader.form == FormXray && !bytes.Contains(data, []byte(`"protocol"`)) {
				program = FormSingBox.Program + ", Xray or V2Ray"
			}
			return fmt.Errorf("%w; it looks like a configuration of %s", err, program)
		}
	}
	return err
}
