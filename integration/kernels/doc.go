// Package kernels holds a test that runs the tests of packages nft and nft/survey
// on the kernels of Debian that the host does not run: 6.1, which can't keep an
// owned table (flag persist), and 6.12, which can. All of them must pass on both,
// except those that -short skips.
//
// Each kernel boots in QEMU, emulated and without KVM, with an initramfs that
// holds the static test binaries, busybox as the shell, nft and iptables with
// their libraries, and netfilter's modules, which the kernel loads when it
// needs them. The kernels come from the package sources of the host, the newest
// of each series, and are unpacked into build/kernels; nothing is installed,
// and root is not needed.
//
// The test needs Debian 12 on amd64, where apt has fetched its lists, and the
// packages qemu-system-x86, busybox-static, nftables and iptables. If
// something is missing the test is skipped and names it; with CI=true it fails.
// It takes about a minute and is skipped with -short.
package kernels
