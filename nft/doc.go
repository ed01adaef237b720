// Package nft is the kernel's side of ssmonitor: what the table looks like
// (layout.go, text.go), how it comes to be so (install.go), how drift is found
// (inspect.go, verify.go) and the reader that takes all counters in one dump
// (read.go). What the kernel can do is for `ssmonitor check` alone (support.go);
// so is package survey, which reads what others have in the firewall.
//
// All of it speaks nf_tables over netlink. github.com/google/nftables opens the
// socket for changes and removes the table; what it has no words for (a table's
// user data, maps to named counters and the rule that uses one) goes as raw
// messages over the same socket, encoded by encode.go. What only asks goes over
// a second socket, made to be read fast, and is decoded by decode.go.
//
// Every request needs CAP_NET_ADMIN in the user namespace that owns the network
// namespace, those that only read included. No program is ever run.
package nft
