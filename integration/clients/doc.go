// Package clients reads and edits the clients file, which says who is who on this host
// until it is changed there. It is YAML with one block per client:
//
//	alice:
//	  ports: [20000, 20001/tcp]
//	bob:
//	  ports: 20002
//
// A port is written as in --port, without a name. A block without ports stands for the
// client of that name in a configuration, and the ports of the block "" have the names
// that configurations give them. A port has one client: what is counted and kept has one
// client per port number.
//
// People write the file as well. An edit leaves everything as it is that it does not
// change: comments, order, blank lines and quotation marks.
package clients
