// Package nft counts traffic in the kernel. It defines the layout of ssmonitor's
// table (layout.go, text.go, expressions.go), installs and repairs the table
// (install.go), adds ports to a table that is known to be right (attach.go),
// stops counting ports (remove.go), counts what the host forwards (forward.go,
// forward_rules.go) and what passes a VRF (vrf.go), finds drift (inspect.go,
// verify.go), reads all counters (read.go), and probes which features the kernel
// has (support.go). How much goes into one transaction is in budget.go. All of
// these record what they learn of the table in one value (known.go), which shows
// what need not be looked at again.
//
// All of it speaks nf_tables over one netlink socket (conn.go), with messages of
// its own (encode.go, batch.go, decode.go): github.com/google/nftables cannot
// express a table's or a counter's private user data, maps to named counters and
// the rule that uses one. Only its format of user data is used here. Package survey
// uses the library in full.
//
// # How our table is told from a copy
//
// A table that ssmonitor creates has our comment and, in its private user data, an
// epoch, a random id. A counter that ssmonitor creates has a flag in its own user
// data. nft neither prints nor restores private user data, so whatever was loaded
// from a saved ruleset lacks it: a table with our comment but without an epoch is
// replaced, and the initial value of a loaded counter is not counted as traffic.
//
// # Capability
//
// Every request, even one that only reads, needs CAP_NET_ADMIN in the user
// namespace that owns the network namespace. The package never runs a program.
package nft
