// Package kernels holds a test that runs the tests of packages nft, nft/survey,
// internal/confine, paths and others on the kernels of Debian that the host does not
// run: 6.1, which can't keep an owned table (flag persist), and 6.12, which can. All
// of them must pass on both, except those that -short skips. Package paths runs there
// only.
//
// Each kernel boots in QEMU, emulated and without KVM, with an initramfs that
// holds the static test binaries and ssmonitor, busybox as the shell, ip, nft and
// iptables with their libraries, and the modules of netfilter and of the network
// devices that the tests create, which the kernel loads when it needs them. The
// kernels come from the package sources of the host, the newest of each series,
// and are unpacked into build/kernels; nothing is installed, and root is not
// needed.
//
// The test needs Debian 12 on amd64, where apt has fetched its lists, and the
// packages qemu-system-x86, busybox-static, nftables, iptables and iproute2. If
// something is missing the test is skipped and names it; with CI=true it fails. It
// takes some minutes and is skipped with -short.
package kernels
