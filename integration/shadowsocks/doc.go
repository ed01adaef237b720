// Package shadowsocks finds out which ports a Shadowsocks server listens on from
// the server's own configuration: the port numbers, the protocols, and a name
// for the client where the configuration has one.
//
// A configuration is recognised by its keys, whatever the file is called:
// shadowsocks-libev and its manager, shadowsocks-rust, the Python server,
// ShadowsocksR and shadowsocksr-native, OpenWrt's UCI, Outline and outline-ss-server,
// sing-box, Xray and V2Ray, 3x-ui, s-ui, shadowsocks-go, gost and mihomo. What a file was taken for, and by what sign, is
// its [Form]. Files of other programs that are kept beside them, such as
// shadowsocks-manager's, are a [ForeignError] that says where the ports are.
//
// Each form has a reader. To add one, write the reader, add its form, with the
// program and the sign, and a line of readers, add the keys that it needs to
// knownKeys, and give it a directory in testdata/zoo. Another program is one line
// of foreign.
//
// A reader takes values as if they were what they should be. A value that is not records
// that as a mistake of the file, and the first mistake is the file's error.
//
// Files are read as JSON5, as shadowsocks-rust reads them, which includes JSON and
// JSON with comments and trailing commas: each of the servers accepts another
// part of that. A file that does not begin as JSON does is read as YAML. Keys are
// case-sensitive.
//
// No secret gets into memory as a value. The parsers decode the values of known
// keys only, of links their scheme and port, and of ShadowsocksR's protocol_param the
// number of users. No type has a field for a password, and no error shows content of a
// file other than a mistaken port.
package shadowsocks
