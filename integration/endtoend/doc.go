// Package endtoend has the tests of the real binary against the real kernel, Debian's
// shadowsocks-libev, nft, setpriv, Netdata, Prometheus and browsers.
//
// They need root and the packages shadowsocks-libev, nftables, iproute2, curl,
// util-linux, bsdutils, netdata-core, netdata-plugins-bash, netdata-plugins-python,
// netdata-web, chromium, prometheus, prometheus-node-exporter and victoria-metrics. A
// test that lacks one of them is skipped and names it; with CI=true it fails. The tests
// run in mount, PID and network namespaces of their own, which also hold their files.
// However they end, they leave no process, interface or ruleset behind, and neither need
// nor touch a service of the host.
package endtoend
