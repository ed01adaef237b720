// Package nft is the kernel's side of ssmonitor: the table's layout (layout.go,
// text.go, expressions.go), installing and repairing it (install.go), ending the
// counting of ports (remove.go), finding drift (inspect.go, verify.go), the reader
// that takes all counters in one dump (read.go), and what a kernel may lack
// (support.go).
//
// All of it speaks nf_tables over one netlink socket (conn.go), with messages of
// its own (encode.go, batch.go, decode.go): github.com/google/nftables cannot
// express a table's or a counter's private user data, maps to named counters and
// the rule that uses one. That library surveys other people's rules for
// `ssmonitor check`.
//
// # What tells our own from a copy
//
// A table that ssmonitor creates carries a mark, its comment, and an epoch, a
// random id, in its private user data. A counter that ssmonitor creates carries a
// mark in its own user data. nft neither prints nor restores private user data,
// so what was loaded from a saved ruleset lacks it: a table without an epoch is
// replaced, and the value that a loaded counter begins with is not traffic.
//
// # Capability
//
// Every request needs CAP_NET_ADMIN in the user namespace that owns the network
// namespace, even those that only read. No program is ever run.
package nft
