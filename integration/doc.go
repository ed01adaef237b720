// Package integration is where ssmonitor meets its neighbours: it holds the
// tests of the real binary against the real kernel, Debian's shadowsocks-libev,
// nft, setpriv and Netdata, and below it what ssmonitor knows of each of them.
//
// The tests need root and the packages shadowsocks-libev, nftables, iproute2,
// curl, util-linux, bsdutils, netdata-core, netdata-plugins-bash,
// netdata-plugins-python, netdata-web and chromium. Where something is missing a test is skipped and says
// what; with CI=true it fails. All of it happens inside a mount, process and
// network namespace of the tests' own, in which even their files are: however
// the tests end, no process, interface or ruleset is left behind, and no
// service of the host is needed or touched.
package integration
