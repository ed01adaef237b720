// Package compare compares what ssmonitor costs with what its alternatives cost:
// per packet, per reading, to install, and per tick of the whole agent with
// pauses. The alternatives are those that it replaces, iptables or nft with a
// script, and the least that is possible.
//
// `make bench-compare` measures for some minutes, as root, in namespaces that it
// creates and removes, and writes a table, all figures and two plots.
// `make bench-readme` also puts table and plots into nft/README.md. Without -full the
// test runs everything once, to see that it works.
//
// A machine is noisy, and so is the memory that a ruleset happens to get: the
// same rules cost up to a fifth more in one namespace than in another. So each
// round measures all alternatives in turn, each in a namespace of its own, and the
// median of all rounds is reported.
package compare
