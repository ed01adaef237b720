// Package conntrack reads the kernel's connection entries of TCP and UDP over
// netlink (ctnetlink). They show where a published port leads, whatever rule
// translates it, and which addresses still have flows.
//
// The kernel lists the entries of one network namespace, that of the calling
// thread. Reading needs CAP_NET_ADMIN. It never makes a host track connections
// that does not do so already, and loads no module there.
package conntrack
