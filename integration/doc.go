// Package integration has no code. Its folders hold what ssmonitor knows of its
// neighbours, and the tests of the whole:
//
// Product, linked into the binary:
//   - shadowsocks: reads the configurations of the Shadowsocks servers
//   - portlist: reads and writes the list of ports, and parses port arguments
//   - clients: reads and edits the file of clients, which says who is who
//   - processes: finds the servers that run, and what they were started with
//   - sources: combines the sources of ports and follows their changes
//   - presence: finds the running agent, and lets one run per network namespace
//
// Packaging, installed next to the binary:
//   - debian, arch, rpm: the packages of these distributions
//   - systemd: the units; its tests install the package and start the units
//   - netdata: the charts.d module, the alerts and the metadata for Netdata
//   - prometheus: rules, alerts and examples of scraping, with a simulated fleet
//   - grafana: the dashboard
//   - install.mk, release.mk: the targets of the Makefile that install, package
//     and release
//   - install.sh: installs from an unpacked release
//
// Tests, and what only developers run:
//   - endtoend: the real binary against the real kernel, from setup to Netdata's dashboard
//   - demo: shows ssmonitor at work, for make demo
//   - compare: compares costs with those of the alternatives, for make bench-compare,
//     and makes the README's table of costs
//   - kernels: runs the tests of nft on other kernels, in QEMU
//   - kernels/paths: the tests of VRF, IPVS and flowtables that run there
//   - packaging: the tests of releases and of the packages for Arch and RPM
//   - packages.sh, fuzz.sh: for make test
//   - field.md, places.md: what people run, and where setup looks; tests write them
package integration
