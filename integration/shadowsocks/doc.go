// Package shadowsocks finds out which ports a Shadowsocks server listens on,
// by the server's own configuration: the port numbers, the protocols, and a
// name for the client where the form has one. No type here has a field for a
// password, and no error shows content of a file other than a mistaken port.
//
// The form is told by the fields that are there:
//
//   - server_port, a number or a text, as shadowsocks-libev, shadowsocks-rust
//     and the python server have it; libev's list of addresses in server may
//     give some a port of their own;
//   - server_port with a list of ports, of the python server;
//   - port_password, an object with the ports as its keys, of ss-manager, the
//     python server and ShadowsocksR; as in the python server, it takes the
//     place of server_port;
//   - servers, a list of objects, of shadowsocks-rust; it adds to the above.
//
// Files are read as JSON5, which has JSON, and JSON with comments and trailing
// commas, in it: each of these servers accepts another part of that. Of JSON5,
// the escapes \x, \v and \0 in texts are not understood.
package shadowsocks
