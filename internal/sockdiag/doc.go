// Package sockdiag counts the established TCP connections of local ports and the
// addresses that they come from, and lists the sockets at which programs listen. It asks the kernel over netlink, sock_diag(7),
// which needs no privilege and costs nothing per packet.
//
// The kernel lists the sockets of one network namespace, that of the thread that
// opened the connection. It does not list those of containers with a namespace
// of their own. UDP has no connections.
package sockdiag
