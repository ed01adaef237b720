package shadowsocks

import (
	"bytes"
	"fmt"
)

// Form is what a configuration was recognised as. The code tells forms apart by their
// addresses; the texts are for people.
type Form struct {
	Program string // that reads such a file
	Sign    string // by which it was recognised, as in server_port

	// basic forms have server_port, or something in its place, without anything around it:
	// any program may have written such a file.
	basic bool
}

// String returns the program and the sign, or nothing of no form.
func (f *Form) String() string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%s (by %s)", f.Program, f.Sign)
}

// The forms. None of them changes.
var (
	formSingle             = &Form{"shadowsocks-libev, -rust or -python", "server_port", true}
	formList               = &Form{"shadowsocks-python", "a list as server_port", true}
	formPortPassword       = &Form{"ss-manager or shadowsocks-python", "port_password", true}
	formPortConf           = &Form{"ss-manager of OpenMPTCProuter", "port_key or port_conf", true}
	formShadowsocksRNative = &Form{"shadowsocksr-native", "server_settings", false}
	formShadowsocksR       = &Form{"ShadowsocksR", "obfs, or objects in port_password", true}
	formShadowsocksRUsers  = &Form{"ShadowsocksR, multi-user", "its list of clients, or additional_ports_only", false}
	formOpenWrt            = &Form{"shadowsocks-libev of OpenWrt", "config ss_server", false}
	formAssignments        = &Form{"go-shadowsocks2 by ss-go.sh", "PORT and CIPHER", false}
	formServers            = &Form{"shadowsocks-rust", "servers", true}
	formOutlineManager     = &Form{"Outline", "accessKeys", false}
	formOutlineServer      = &Form{"outline-ss-server", "keys, or the listeners of its services", false}
	formSingBox            = &Form{"sing-box", "the type of its inbounds", false}
	formXray               = &Form{"Xray or V2Ray", "the protocol of its inbounds", false}
	form3XUI               = &Form{"3x-ui", "its table inbounds", false}
	formSUI                = &Form{"s-ui", "its table inbounds", false}
	formShadowsocksGo      = &Form{"shadowsocks-go", "how its servers listen", false}
	formGost               = &Form{"gost", "the handlers of its services", false}
	formGost2              = &Form{"gost 2", "ServeNodes", false}
	formMihomo             = &Form{"mihomo", "listeners or ss-config", false}
)

// reader reads one form. It is found by its keys.
type reader struct {
	form    *Form
	matches func(root node) bool
	read    func(c *collector, root node)
	// needle is a key that gives the form away where the file can't be parsed.
	needle string
}

// readers are in the order in which they are tried. The last one takes any
// object.
var readers = []reader{
	{formShadowsocksRUsers, isMultiUser, readMultiUser, `"transfer_enable"`},
	{formOutlineManager, hasAny("accessKeys"), readOutlineManager, `"accessKeys"`},
	{formOutlineServer, isOutlineServer, readOutlineServer, "secret:"},
	{formGost2, isGost2, readGost2, `"ServeNodes"`},
	{formGost, isGost, readGost, "handler"},
	{formMihomo, hasAny("listeners", "proxies", "ss-config", "vmess-config"), readMihomo, "proxies:"},
	{formSingBox, isSingBox, readSingBox, `"listen_port"`},
	{formXray, isXray, readXray, `"inbounds"`},
	{formShadowsocksGo, isShadowsocksGo, readShadowsocksGo, `"tcpListeners"`},
	{formShadowsocksRNative, isNative, readNative, `"server_settings"`},
	{formOpenWrt, hasAny("ss_server"), readUCI, "config ss_server"},
	{formAssignments, hasAny("PORT"), readAssignments, "CIPHER ="},
	{formServers, hasAny("servers", "shadowsocks"), readBasic, `"servers"`},
	{formPortPassword, hasAny("port_password"), readBasic, `"port_password"`},
	{formPortConf, hasAny("port_key", "port_conf"), readBasic, `"port_conf"`},
	{formSingle, isObject, readBasic, "server_port"},
}

func hasAny(keys ...string) func(node) bool {
	return func(root node) bool { return root.has(keys...) }
}

func isObject(root node) bool { return root.is(kindObject) }

// lookingLike adds to an error of syntax the form that the file looks like.
func lookingLike(data []byte, err error) error {
	if err == nil {
		return nil
	}
	for _, reader := range readers {
		if bytes.Contains(data, []byte(reader.needle)) {
			if reader.form.basic {
				return fmt.Errorf("%w; it looks like a configuration with %s", err, reader.form.Sign)
			}
			program := reader.form.Program
			if reader.form == formXray && !bytes.Contains(data, []byte(`"protocol"`)) {
				program = formSingBox.Program + ", Xray or V2Ray"
			}
			return fmt.Errorf("%w; it looks like a configuration of %s", err, program)
		}
	}
	return err
}
